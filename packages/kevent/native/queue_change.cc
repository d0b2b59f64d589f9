// Changes to a queue: how a knote is made, modified and removed (kqueue_register of kqueue(2)).
#include <cerrno>
#include <limits>

#include "descriptor_filter.h"
#include "epoll_tag.h"
#include "queue.h"
#include "recheck.h"

namespace kevent {

namespace {

// A timer's period in ns, at least one unit for a periodic one; saturates far beyond any uptime. `flags` are
// the knote's, which an EV_ADD of one that exists does not change.
int64_t Period(const KEvent& change, uint16_t flags) {
  int64_t unit = 1'000'000;
  if ((change.fflags & NOTE_SECONDS) != 0) unit = 1'000'000'000;
  if ((change.fflags & NOTE_USECONDS) != 0) unit = 1'000;
  if ((change.fflags & NOTE_NSECONDS) != 0) unit = 1;
  const int64_t most = std::numeric_limits<int64_t>::max() / 4;
  const bool periodic = (flags & EV_ONESHOT) == 0 && (change.fflags & NOTE_ABSTIME) == 0;
  const int64_t count = periodic && change.data == 0 ? 1 : change.data;
  return count > most / unit ? most : count * unit;
}

}  // namespace

int Queue::Kevent(const KEvent* changes, int change_count, KEvent* events, int max, int64_t timeout,
                  Consumer* consumer) {
  if (closed()) return -EBADF;
  if (change_count < 0) return -EINVAL;
  Recheck recheck;
  int written = 0;
  int failed = 0;
  for (int index = 0; index < change_count; index++) {
    KEvent change = changes[index];  // copied: a receipt may be written over it
    if (change.filter == 0) continue;
    change.flags = static_cast<uint16_t>(change.flags & ~EV_SYSFLAGS);
    const int error = Register(change, &recheck);
    if (error == 0 && (change.flags & EV_RECEIPT) == 0) {
      if (!recheck.Full()) continue;
      written += ReadLevels(&recheck, events + written, max - written, &failed);
      if (failed != 0) break;
      continue;
    }
    if (written >= max) {
      failed = error;
      break;
    }
    events[written++] = {change.ident, change.filter, EV_ERROR, 0, error, change.udata};
  }
  if (recheck.count > 0) written += ReadLevels(&recheck, events + written, max - written, &failed);
  // A report of errors or receipts is the whole answer: events wait for the next call.
  if (failed != 0 || max <= 0 || written > 0 || timeout < kForever) {
    WakeFor(recheck);
    if (failed != 0) return -failed;
    return max < 0 || (written == 0 && max > 0) ? -EINVAL : written;
  }
  // What it does not claim itself it wakes another thread for.
  return Wait(events, max, timeout, consumer);
}

int Queue::Register(const KEvent& change, Recheck* recheck) {
  if (const int error = CheckChange(change); error != 0) return error;
  if ((change.flags & EV_DELETE) != 0) {
    return IsDescriptorFilter(change.filter) ? RemoveDescriptor(change) : RemoveName(change);
  }
  if (const int error = Prepare(change); error != 0) return error;
  return IsDescriptorFilter(change.filter) ? RegisterDescriptor(change, recheck) : RegisterName(change);
}

// A live, locked knote with the change's values, or 0.
Slot Queue::NewKnote(const KEvent& change) {
  const Slot slot = knotes_.Allocate();
  if (slot == 0) return 0;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  knote->ident = change.ident;
  knote->pending = 0;
  knote->fflags = 0;
  knote->holder = 0;
  knote->link = 0;
  knote->Update(Knote::FilterBits(change.filter) | Knote::FlagsBits(change.flags & kStickyFlags), 0);
  Touch(knote, slot, change, true);
  knote->Update(kLive | ((change.flags & EV_DISABLE) != 0 ? kDisabled : 0), 0);
  return slot;
}

void Queue::Touch(Knote* knote, Slot slot, const KEvent& change, bool creating) {
  if ((change.flags & EV_KEEPUDATA) == 0) knote->udata = change.udata;
  switch (knote->filter()) {
    case EVFILT_USER:
      TouchUser(knote, change);
      break;
    case EVFILT_TIMER:
      if ((change.flags & EV_ADD) == 0) break;  // only an EV_ADD sets a timer
      if (!creating) HeapOf(*knote)->Disarm(knote);
      knote->pending = 0;
      knote->fflags = change.fflags;
      knote->data = Period(change, knote->flags());
      // Every relative timer counts from delivery to delivery.
      if ((change.fflags & NOTE_ABSTIME) == 0) knote->Stick(EV_CLEAR);
      knote->Update(0, kActive);
      ArmTimer(knote, slot);
      break;
    case EVFILT_VNODE:
    case EVFILT_PROC:
    case EVFILT_PROCDESC:
    case EVFILT_SIGNAL:
    case EVFILT_FS:
    case EVFILT_EMPTY:
      if ((change.flags & EV_ADD) == 0) break;  // as OpenBSD: else each EV_ENABLE would have to repeat them
      knote->fflags = change.fflags;
      knote->data = change.data;
      if (knote->filter() == EVFILT_VNODE || knote->filter() == EVFILT_FS) knote->pending &= change.fflags;
      break;
    default:
      knote->fflags = change.fflags & ~uint32_t{NOTE_DRAINED};
      knote->data = change.data;
  }
}

void Queue::TouchUser(Knote* knote, const KEvent& change) {
  const uint32_t given = change.fflags & NOTE_FFLAGSMASK;
  switch (change.fflags & NOTE_FFCTRLMASK) {
    case NOTE_FFAND:
      knote->fflags &= given;
      break;
    case NOTE_FFOR:
      knote->fflags |= given;
      break;
    case NOTE_FFCOPY:
      knote->fflags = given;
      break;
    default:
      break;
  }
  knote->data = change.data;
  // A trigger in the creating EV_ADD counts (OpenBSD's choice; FreeBSD loses it).
  const bool creating = (knote->state.load(std::memory_order_relaxed) & kLive) == 0;
  if (!creating && (change.flags & EV_CLEAR) != 0) {
    knote->pending = 0;  // EV_CLEAR in a modification resets, even a trigger of the same change
    knote->Update(0, kActive);
  } else if ((change.fflags & NOTE_TRIGGER) != 0) {
    knote->pending = 1;
  }
  if (knote->pending != 0) knote->Update(kActive, 0);
}

TimerHeap* Queue::HeapOf(const Knote& knote) {
  return knote.filter() == EVFILT_TIMER && (knote.fflags & NOTE_ABSTIME) != 0 ? &realtime_ : &monotonic_;
}

void Queue::ArmTimer(Knote* knote, Slot slot) {
  TimerHeap* heap = HeapOf(*knote);
  const bool absolute = heap == &realtime_;
  const int64_t now = heap->Now();
  const int64_t deadline = absolute ? knote->data : now + knote->data;
  if (deadline > now) {
    heap->Arm(knote, slot, deadline);
    return;
  }
  knote->pending = 1;  // due at once, without a round through the timerfd
  knote->Update(kActive, 0);
}

// Before a change: what it needs of the queue's own. A heap's timerfd, registered in epoll, so that nothing
// has to be undone when there can be none.
int Queue::Prepare(const KEvent& change) {
  // What came before the EV_ADD is not for it.
  if (change.filter == EVFILT_VNODE && (change.flags & EV_ADD) != 0) {
    RunFilter(&vnode_);
    if (ready_.Size() > 0) WakeOne();
  }
  const bool waits = change.filter == EVFILT_WRITE && (change.fflags & NOTE_LOWAT) != 0;
  const bool timer = change.filter == EVFILT_TIMER && (change.flags & EV_ADD) != 0;
  if (!timer && !waits && change.filter != EVFILT_EMPTY) return 0;
  const bool absolute = timer && (change.fflags & NOTE_ABSTIME) != 0;
  TimerHeap* heap = absolute ? &realtime_ : &monotonic_;
  return heap->Open(epoll_.get(), absolute ? kRealtimeTag : kMonotonicTag);
}

// A locked knote's source forgets it.
void Queue::LetGo(Knote* knote, Slot slot) {
  if (knote->filter() == EVFILT_TIMER || knote->looks_again()) HeapOf(*knote)->Disarm(knote);
  if (IsNamedByDescriptor(knote->filter())) named_by_descriptor_.fetch_sub(1, std::memory_order_relaxed);
  if (Filter* filter = FilterOf(*knote); filter != nullptr) filter->Detach(*knote, slot);
}

// FreeBSD's rules for a knote that exists: udata, fflags and data are replaced, kStickyFlags never are, and
// an enabled knote's source is looked at again.
int Queue::Modify(Slot slot, const KEvent& change, Recheck* recheck) {
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  if (!knote->Is(change.ident, change.filter)) {
    Unlock(knote, slot);
    return ENOENT;
  }
  Touch(knote, slot, change, false);
  int error = 0;
  if (Filter* filter = FilterOf(*knote); filter != nullptr && (change.flags & (EV_ADD | EV_ENABLE)) != 0) {
    error = filter->Readjust(*knote, slot);
  }
  uint64_t state = knote->state.load(std::memory_order_relaxed);
  // Forced before, it stays due although the change has reset it.
  if ((change.flags & EV_FORCEONESHOT) != 0 || (state & kForced) != 0) {
    knote->Stick(EV_ONESHOT);
    state = knote->Update(kForced | kActive, 0);
  }
  uint32_t set = 0;
  uint32_t clear = 0;
  if ((change.flags & EV_ENABLE) != 0) {
    knote->holder = 0;
    clear = kDisabled;
    // A USER knote without EV_CLEAR stays triggered; a timer may have expired meanwhile.
    if (!IsDescriptorFilter(knote->filter()) && knote->pending != 0) set = kActive;
    if (knote->filter() == EVFILT_EMPTY) set = kActive;  // no edge tells
  } else if ((change.flags & EV_DISABLE) != 0) {
    set = kDisabled;
  }
  state = (state | set) & ~uint64_t{clear};
  if (recheck != nullptr && (state & (kDisabled | kForced | kQueued)) == 0 &&
      (change.fflags & NOTE_DRAINED) == 0) {
    // An edge that came while the knote was disabled is proof enough where delivery reads the level itself.
    const bool proven = (state & kActive) != 0 && (knote->fflags & NOTE_NODATA) == 0;
    if (!proven) {
      clear |= kActive;
      recheck->Add(slot, *knote, change);
    }
  }
  if (!knote->Unlock(set, clear)) return error;
  if (recheck == nullptr) {
    Push(slot);
  } else {
    ready_.Push(slot);
    recheck->pushed++;
  }
  return error;
}

// For an EV_DELETE with NOTE_DEFER, with the knote locked: if a handler has its event, then what it gets when
// it enables the knote is the last one.
bool Queue::Defer(Knote* knote, const KEvent& change) {
  if ((change.fflags & NOTE_DEFER) == 0 || knote->holder == 0) return false;
  knote->Stick(EV_ONESHOT);
  knote->Update(kForced | kActive, 0);
  return true;
}

// Unlocks a dropped knote, and frees its slot unless the ring still names it.
void Queue::Release(Slot slot, Knote* knote) {
  if ((knote->Update(0, kLocked) & kQueued) == 0) knotes_.Free(slot);
}

}  // namespace kevent
