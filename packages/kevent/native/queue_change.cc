// Changes to a queue: how a knote is made, modified and removed (kqueue_register of kqueue(2)).
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

#include <cerrno>
#include <limits>
#include <mutex>

#include "epoll_tag.h"
#include "queue.h"

namespace kevent {

namespace {

int WhichOf(int16_t filter) {
  return filter == EVFILT_READ ? DescriptorRecord::kRead : DescriptorRecord::kWrite;
}
bool IsDescriptorFilter(int16_t filter) {
  return filter == EVFILT_READ || filter == EVFILT_WRITE;
}

// ENOENT for a knote that is not there; EBADF when the descriptor itself is not.
int Absent(int descriptor) {
  return fcntl(descriptor, F_GETFD) < 0 ? errno : ENOENT;
}

// Of a pipe's two ends each has one filter; the kernel reports errors and hang-ups of the other all the same.
bool IsWrongWay(const KEvent& change) {
  const int mode = fcntl(static_cast<int>(change.ident), F_GETFL) & O_ACCMODE;
  return mode == (change.filter == EVFILT_READ ? O_WRONLY : O_RDONLY);
}

class RecordGuard {
 public:
  explicit RecordGuard(DescriptorRecord* record) : record_(record) { record_->Lock(); }
  RecordGuard(const RecordGuard&) = delete;
  RecordGuard& operator=(const RecordGuard&) = delete;
  ~RecordGuard() { record_->Unlock(); }

 private:
  DescriptorRecord* const record_;
};

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

// Knotes whose level is read together: one poll(2) for a changelist of EV_ENABLE costs a sixth of one each.
struct Queue::Recheck {
  static constexpr int kMost = 64;

  bool Full() const { return count == kMost; }
  // What says that the other end is gone, to a reader or to a writer.
  int EndOf(int index) const {
    return changes[index].filter == EVFILT_READ ? POLLHUP | POLLRDHUP : POLLHUP | POLLERR;
  }
  void Add(Slot slot, const Knote& knote, const KEvent& change) {
    slots[count] = slot;
    generations[count] = knote.generation();
    changes[count] = change;
    const bool read = knote.filter == EVFILT_READ;
    polls[count] = {static_cast<int>(knote.ident), static_cast<short>(read ? POLLIN | POLLRDHUP : POLLOUT),
                    0};
    count++;
  }

  int count = 0;
  int pushed = 0;  // found ready, and in the ring: nobody has been woken for them
  Slot slots[kMost];
  uint32_t generations[kMost];
  KEvent changes[kMost];
  pollfd polls[kMost];
};

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
  if ((change.flags & EV_DELETE) != 0) return Remove(change);
  return IsDescriptorFilter(change.filter) ? RegisterDescriptor(change, recheck) : RegisterName(change);
}

int Queue::RegisterDescriptor(const KEvent& change, Recheck* recheck) {
  const auto descriptor = static_cast<int>(change.ident);
  const int which = WhichOf(change.filter);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if ((change.flags & EV_ADD) == 0) {
    // The hot path: EV_ENABLE of a knote that is there. Acquire pairs with the release of the slot's store.
    const Slot slot = record == nullptr ? 0 : record->slots[which].load(std::memory_order_acquire);
    // A look at the level finds out whether the descriptor is open; a change that needs none asks.
    if ((change.flags & (EV_DISABLE | EV_FORCEONESHOT)) != 0 && fcntl(descriptor, F_GETFD) < 0) return errno;
    const int error = slot == 0 ? ENOENT : Modify(slot, change, recheck);
    return error == ENOENT ? Absent(descriptor) : error;
  }
  if (record == nullptr) {
    if (fcntl(descriptor, F_GETFD) < 0) return errno;
    record = descriptors_.FindOrMake(descriptor);
    if (record == nullptr) return ENOMEM;
  }
  RecordGuard guard(record);
  const Slot slot = record->slots[which].load(std::memory_order_acquire);
  if (slot == 0 || !knotes_.At(slot)->Is(change.ident, change.filter)) {
    return MakeDescriptorKnote(change, record);
  }
  // The knote may be of a file that was closed behind the queue's back, its number given to another since.
  const int error = Watch(descriptor, record, false);
  // Registered anew, epoll reports what is ready by itself.
  if (error == 0) return Modify(slot, change, nullptr);
  DropDescriptorKnote(record, DescriptorRecord::kRead);
  DropDescriptorKnote(record, DescriptorRecord::kWrite);
  return error == ENOENT ? MakeDescriptorKnote(change, record) : error;
}

int Queue::MakeDescriptorKnote(const KEvent& change, DescriptorRecord* record) {
  const int which = WhichOf(change.filter);
  const int other = 1 - which;
  const Slot slot = NewKnote(change);
  if (slot == 0) return ENOMEM;
  Knote* knote = knotes_.At(slot);
  // Live before epoll knows it, because the first edge may come at once; locked, so that nobody claims it.
  record->slots[which].store(slot, std::memory_order_release);
  const bool alone = record->slots[other].load(std::memory_order_acquire) == 0;
  int error = Watch(static_cast<int>(change.ident), record, alone);
  if (error == ENOENT && !alone) {  // the other knote is of a file that is gone
    DropDescriptorKnote(record, other);
    error = Watch(static_cast<int>(change.ident), record, true);
  }
  if (error != 0) {
    record->slots[which].store(0, std::memory_order_release);
    knote->Drop();
    Release(slot, knote);
    return error;
  }
  if (knote->Unlock()) Push(slot);
  return 0;
}

// A live, locked knote with the change's values, or 0.
Slot Queue::NewKnote(const KEvent& change) {
  const Slot slot = knotes_.Allocate([this](size_t count) { ring_.Reserve(count); });
  if (slot == 0) return 0;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  knote->ident = change.ident;
  knote->filter = change.filter;
  knote->flags = static_cast<uint16_t>(change.flags & kStickyFlags);
  knote->pending = 0;
  knote->fflags = 0;
  knote->holder = 0;
  knote->wrong_way = IsDescriptorFilter(change.filter) && IsWrongWay(change);
  Touch(knote, slot, change, true);
  knote->Update(kLive | ((change.flags & EV_DISABLE) != 0 ? kDisabled : 0), 0);
  return slot;
}

void Queue::Touch(Knote* knote, Slot slot, const KEvent& change, bool creating) {
  if ((change.flags & EV_KEEPUDATA) == 0) knote->udata = change.udata;
  switch (knote->filter) {
    case EVFILT_USER:
      TouchUser(knote, change);
      break;
    case EVFILT_TIMER:
      if ((change.flags & EV_ADD) == 0) break;  // only an EV_ADD sets a timer
      if (!creating) HeapOf(*knote)->Disarm(knote);
      knote->pending = 0;
      knote->fflags = change.fflags;
      knote->data = Period(change, knote->flags);
      // Every relative timer counts from delivery to delivery.
      if ((change.fflags & NOTE_ABSTIME) == 0) knote->flags |= EV_CLEAR;
      knote->Update(0, kActive);
      ArmTimer(knote, slot);
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
  return (knote.fflags & NOTE_ABSTIME) != 0 ? &realtime_ : &monotonic_;
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

// The heap's timerfd, registered in epoll. Before a knote is made, so that nothing has to be undone.
int Queue::PrepareTimer(const KEvent& change) {
  const bool absolute = (change.fflags & NOTE_ABSTIME) != 0;
  TimerHeap* heap = absolute ? &realtime_ : &monotonic_;
  bool made = false;
  if (const int error = heap->Open(&made); error != 0) return error;
  if (!made) return 0;
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = absolute ? kRealtimeTag : kMonotonicTag}};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, heap->descriptor(), &registration) < 0 ? errno : 0;
}

int Queue::RegisterName(const KEvent& change) {
  Slot slot = 0;
  {
    std::lock_guard<std::mutex> guard(names_.lock());
    slot = names_.Find(change.ident, change.filter);
    const bool there = slot != 0 && knotes_.At(slot)->Is(change.ident, change.filter);
    if (!there) return (change.flags & EV_ADD) == 0 ? ENOENT : MakeNamedKnote(change);
  }
  const int error = Modify(slot, change, nullptr);
  // It went away between the two: an EV_ADD makes it anew.
  return error == ENOENT && (change.flags & EV_ADD) != 0 ? RegisterName(change) : error;
}

int Queue::MakeNamedKnote(const KEvent& change) {
  if (change.filter == EVFILT_TIMER) {
    if (const int error = PrepareTimer(change); error != 0) return error;
  }
  const Slot slot = NewKnote(change);
  if (slot == 0) return ENOMEM;
  names_.Set(change.ident, change.filter, slot);
  if (knotes_.At(slot)->Unlock()) Push(slot);
  return 0;
}

// FreeBSD's rules for a knote that exists: udata, fflags and data are replaced, kStickyFlags never are, and
// an enabled knote's source is looked at again.
int Queue::Modify(Slot slot, const KEvent& change, Recheck* recheck) {
  Knote* knote = knotes_.At(slot);
  if (change.filter == EVFILT_TIMER && (change.flags & EV_ADD) != 0) {
    if (const int error = PrepareTimer(change); error != 0) return error;
  }
  knote->Lock();
  if (!knote->Is(change.ident, change.filter)) {
    if (knote->Unlock()) Push(slot);
    return ENOENT;
  }
  Touch(knote, slot, change, false);
  uint64_t state = knote->state.load(std::memory_order_relaxed);
  // Forced before, it stays due although the change has reset it.
  if ((change.flags & EV_FORCEONESHOT) != 0 || (state & kForced) != 0) {
    knote->flags |= EV_ONESHOT;
    state = knote->Update(kForced | kActive, 0);
  }
  uint32_t set = 0;
  uint32_t clear = 0;
  if ((change.flags & EV_ENABLE) != 0) {
    knote->holder = 0;
    clear = kDisabled;
    // A USER knote without EV_CLEAR stays triggered; a timer may have expired meanwhile.
    if (!IsDescriptorFilter(knote->filter) && knote->pending != 0) set = kActive;
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
  if (!knote->Unlock(set, clear)) return 0;
  if (recheck == nullptr) {
    Push(slot);
  } else {
    ring_.Push(slot);
    recheck->pushed++;
  }
  return 0;
}

// One poll(2) for all: those that are ready become active. A descriptor that is not open any more is
// reported as EBADF, and its knotes are removed. Returns the number of errors written; `failed` gets the
// first one that there was no room for.
int Queue::ReadLevels(Recheck* recheck, KEvent* errors, int room, int* failed) {
  int written = 0;
  int ready = 0;
  do {
    ready = poll(recheck->polls, static_cast<nfds_t>(recheck->count), 0);
  } while (ready < 0 && errno == EINTR);
  for (int index = 0; ready > 0 && index < recheck->count; index++) {
    const short seen = recheck->polls[index].revents;
    if (seen == 0) continue;
    const Slot slot = recheck->slots[index];
    if ((seen & POLLNVAL) != 0) {
      const KEvent& change = recheck->changes[index];
      if (knotes_.At(slot)->generation() != recheck->generations[index]) continue;
      Detach(static_cast<int>(change.ident));
      if (written < room) {
        errors[written++] = {change.ident, change.filter, EV_ERROR, 0, EBADF, change.udata};
      } else if (*failed == 0) {
        *failed = EBADF;
      }
      continue;
    }
    const uint32_t more =
        ((seen & recheck->EndOf(index)) != 0 ? kSawEof : 0) | ((seen & POLLERR) != 0 ? kSawError : 0);
    if (knotes_.At(slot)->Activate(recheck->generations[index], more)) {
      ring_.Push(slot);
      recheck->pushed++;
    }
  }
  recheck->count = 0;
  return written;
}

void Queue::WakeFor(const Recheck& recheck) {
  for (int index = 0; index < recheck.pushed; index++) WakeOne();
}

// For an EV_DELETE with NOTE_DEFER, with the knote locked: if a handler has its event, then what it gets when
// it enables the knote is the last one.
bool Queue::Defer(Knote* knote, const KEvent& change) {
  if ((change.fflags & NOTE_DEFER) == 0 || knote->holder == 0) return false;
  knote->flags |= EV_ONESHOT;
  knote->Update(kForced | kActive, 0);
  return true;
}

int Queue::Remove(const KEvent& change) {
  if (!IsDescriptorFilter(change.filter)) {
    std::lock_guard<std::mutex> guard(names_.lock());
    const Slot slot = names_.Find(change.ident, change.filter);
    if (slot == 0) return ENOENT;
    Knote* knote = knotes_.At(slot);
    knote->Lock();
    const bool there = knote->Is(change.ident, change.filter);
    if (there && Defer(knote, change)) {
      if (knote->Unlock()) Push(slot);
      return EINPROGRESS;
    }
    if (there) {
      if (knote->filter == EVFILT_TIMER) HeapOf(*knote)->Disarm(knote);
      names_.Erase(change.ident, change.filter, slot);
      knote->Drop();
    }
    // A one-shot that was just delivered is not here any more; who delivered it cleans up.
    if (there) {
      Release(slot, knote);
    } else if (knote->Unlock()) {
      Push(slot);
    }
    return there ? 0 : ENOENT;
  }
  const auto descriptor = static_cast<int>(change.ident);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if (record == nullptr) return Absent(descriptor);
  RecordGuard guard(record);
  const int which = WhichOf(change.filter);
  const Slot slot = record->slots[which].load(std::memory_order_acquire);
  if (slot == 0 || !knotes_.At(slot)->Is(change.ident, change.filter)) return Absent(descriptor);
  const bool may_defer = (change.fflags & NOTE_DEFER) != 0 && fcntl(descriptor, F_GETFD) >= 0;
  if (!DropDescriptorKnote(record, which, may_defer ? &change : nullptr)) return EINPROGRESS;
  return Forget(descriptor, record) ? 0 : errno;
}

// False: `removal` is deferred, and the knote stays.
bool Queue::DropDescriptorKnote(DescriptorRecord* record, int which, const KEvent* removal) {
  const Slot slot = record->slots[which].load(std::memory_order_acquire);
  if (slot == 0) return true;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  // A dead one belongs to the thread that delivered it as a one-shot: that thread frees it.
  const bool live = (knote->state.load(std::memory_order_relaxed) & kLive) != 0;
  if (live && removal != nullptr && Defer(knote, *removal)) {
    if (knote->Unlock()) Push(slot);
    return false;
  }
  record->slots[which].store(0, std::memory_order_release);
  if (live) {
    knote->Drop();
    Release(slot, knote);
  } else if (knote->Unlock()) {
    Push(slot);
  }
  return true;
}

// Unlocks a dropped knote, and frees its slot unless the ring still names it.
void Queue::Release(Slot slot, Knote* knote) {
  if ((knote->Update(0, kLocked) & kQueued) == 0) knotes_.Free(slot);
}

int Queue::Watch(int descriptor, DescriptorRecord* record, bool adding) {
  uint32_t events = EPOLLET;
  if (record->slots[DescriptorRecord::kRead].load(std::memory_order_relaxed) != 0) {
    events |= EPOLLIN | EPOLLRDHUP;
  }
  if (record->slots[DescriptorRecord::kWrite].load(std::memory_order_relaxed) != 0) events |= EPOLLOUT;
  // A new registration is a new generation: what epoll still says of the old one is stale. Release pairs
  // with the acquire in Activate.
  uint32_t generation = record->generation.load(std::memory_order_relaxed);
  if (adding) record->generation.store(++generation, std::memory_order_release);
  epoll_event registration{events, {.u64 = MakeTag(descriptor, generation)}};
  if (epoll_ctl(epoll_.get(), adding ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, descriptor, &registration) == 0)
    return 0;
  // Registered by a dup that lives on: the same file under the same number.
  if (adding && errno == EEXIST && epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &registration) == 0) {
    return 0;
  }
  return errno;
}

// After a knote was taken from the record: watches what is left, or nothing. False leaves errno.
bool Queue::Forget(int descriptor, DescriptorRecord* record) {
  const bool rest = record->slots[DescriptorRecord::kRead].load(std::memory_order_relaxed) != 0 ||
                    record->slots[DescriptorRecord::kWrite].load(std::memory_order_relaxed) != 0;
  if (rest) {
    const int error = Watch(descriptor, record, false);
    if (error != 0) errno = error;
    return error == 0;
  }
  epoll_event unused{};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, &unused) == 0;
}

int Queue::Detach(int descriptor) {
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if (record == nullptr) return ENOENT;
  RecordGuard guard(record);
  const bool any = record->slots[DescriptorRecord::kRead].load(std::memory_order_relaxed) != 0 ||
                   record->slots[DescriptorRecord::kWrite].load(std::memory_order_relaxed) != 0;
  if (!any) return ENOENT;
  DropDescriptorKnote(record, DescriptorRecord::kRead);
  DropDescriptorKnote(record, DescriptorRecord::kWrite);
  // Fails only when the descriptor is closed already, and then epoll has forgotten it.
  static_cast<void>(Forget(descriptor, record));
  return 0;
}

int Queue::CloseDescriptor(int descriptor) {
  static_cast<void>(Detach(descriptor));  // it need not have been watched
  return close(descriptor) < 0 ? errno : 0;
}

}  // namespace kevent
