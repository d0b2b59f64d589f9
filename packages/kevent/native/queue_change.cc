// Changes to a queue: how a knote is made, modified and removed (kqueue_register of kqueue(2)).
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <limits>
#include <mutex>

#include "epoll_tag.h"
#include "queue.h"

namespace kevent {

namespace {

// Descriptors are their idents, but not in epoll: their knotes are found by name, as other filters' are.
constexpr int16_t kNamedByDescriptor[] = {EVFILT_VNODE, EVFILT_PROCDESC, EVFILT_EMPTY};

bool IsNamedByDescriptor(int16_t filter) {
  return std::find(std::begin(kNamedByDescriptor), std::end(kNamedByDescriptor), filter) !=
         std::end(kNamedByDescriptor);
}

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
    const bool read = knote.filter() == EVFILT_READ;
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
  if (const int error = Prepare(change); error != 0) return error;
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
  Knote* knote = knotes_.At(slot);
  const bool file = knote->source() == Source::kFile && !vnode_.IsGone(*knote, slot);
  const int error = file ? 0 : Watch(descriptor, record, false);
  // Registered anew, epoll reports what is ready by itself; of a regular file it knows nothing.
  if (error == 0) return Modify(slot, change, file ? recheck : nullptr);
  DropDescriptorKnote(record, DescriptorRecord::kRead);
  DropDescriptorKnote(record, DescriptorRecord::kWrite);
  // EPERM: the other is a regular file.
  return error == ENOENT || error == EPERM ? MakeDescriptorKnote(change, record) : error;
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
  if (error == EPERM && change.filter == EVFILT_READ) {
    error = vnode_.Attach(knote, slot);
    if (error == 0) {
      knote->Update(Knote::SourceBits(Source::kFile), kSourceMask);
      knote->Update(kActive, 0);  // no edge tells of what is there already
    }
  }
  if (error != 0) {
    if (error == ELOOP) error = EINVAL;  // a queue that watches this one, or too long a chain of queues
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
  const Slot slot = knotes_.Allocate();
  if (slot == 0) return 0;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  knote->ident = change.ident;
  knote->pending = 0;
  knote->fflags = 0;
  knote->holder = 0;
  knote->link = 0;
  const bool wrong_way = IsDescriptorFilter(change.filter) && IsWrongWay(change);
  knote->Update(Knote::FilterBits(change.filter) | Knote::FlagsBits(change.flags & kStickyFlags) |
                    Knote::SourceBits(wrong_way ? Source::kNever : Source::kEpoll),
                0);
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
  bool made = false;
  if (const int error = heap->Open(&made); error != 0) return error;
  if (!made) return 0;
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = absolute ? kRealtimeTag : kMonotonicTag}};
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, heap->descriptor(), &registration) < 0 ? errno : 0;
}

// With the names' lock: the slot of a live knote, or 0. One whose descriptor is closed, or is another's now,
// goes.
Slot Queue::FindNamed(const KEvent& change) {
  const Slot slot = names_.Find(change.ident, change.filter);
  if (slot == 0) return 0;
  Knote* knote = knotes_.At(slot);
  if (!IsNamedByDescriptor(change.filter)) return knote->Is(change.ident, change.filter) ? slot : 0;
  knote->Lock();
  const bool there = knote->Is(change.ident, change.filter);
  if (there && FilterOf(*knote)->IsGone(*knote, slot)) {
    DropNamed(knote, slot);
    return 0;
  }
  if (knote->Unlock()) Push(slot);
  return there ? slot : 0;
}

// With the names' lock, and the live knote's.
void Queue::DropNamed(Knote* knote, Slot slot) {
  LetGo(knote, slot);
  names_.Erase(knote->ident, knote->filter(), slot);
  knote->Drop();
  Release(slot, knote);
}

// A locked knote's source forgets it.
void Queue::LetGo(Knote* knote, Slot slot) {
  if (knote->filter() == EVFILT_TIMER || knote->looks_again()) HeapOf(*knote)->Disarm(knote);
  if (IsNamedByDescriptor(knote->filter())) named_by_descriptor_.fetch_sub(1, std::memory_order_relaxed);
  if (Filter* filter = FilterOf(*knote); filter != nullptr) filter->Detach(*knote, slot);
}

Filter* Queue::FilterOf(const Knote& knote) {
  switch (knote.filter()) {
    case EVFILT_READ:
      return knote.source() == Source::kFile ? &vnode_ : nullptr;
    case EVFILT_VNODE:
      return &vnode_;
    case EVFILT_PROC:
    case EVFILT_PROCDESC:
      return &process_;
    case EVFILT_SIGNAL:
      return &signal_;
    case EVFILT_FS:
      return &mount_;
    case EVFILT_EMPTY:
      return &empty_;
    default:
      return nullptr;
  }
}

int Queue::RegisterName(const KEvent& change) {
  Slot slot = 0;
  {
    std::lock_guard<std::mutex> guard(names_.lock());
    slot = FindNamed(change);
    if (slot == 0) {
      if ((change.flags & EV_ADD) != 0) return MakeNamedKnote(change);
      return IsNamedByDescriptor(change.filter) ? Absent(static_cast<int>(change.ident)) : ENOENT;
    }
  }
  const int error = Modify(slot, change, nullptr);
  // It went away between the two: an EV_ADD makes it anew.
  return error == ENOENT && (change.flags & EV_ADD) != 0 ? RegisterName(change) : error;
}

int Queue::MakeNamedKnote(const KEvent& change) {
  const Slot slot = NewKnote(change);
  if (slot == 0) return ENOMEM;
  Knote* knote = knotes_.At(slot);
  if (Filter* filter = FilterOf(*knote); filter != nullptr) {
    if (const int error = filter->Attach(knote, slot); error != 0) {
      knote->Drop();
      Release(slot, knote);
      return error;
    }
  }
  if (change.filter == EVFILT_EMPTY) knote->Update(kActive, 0);  // it is looked at, no edge tells
  if (IsNamedByDescriptor(change.filter)) named_by_descriptor_.fetch_add(1, std::memory_order_relaxed);
  names_.Set(change.ident, change.filter, slot);
  if (knote->Unlock()) Push(slot);
  return 0;
}

// FreeBSD's rules for a knote that exists: udata, fflags and data are replaced, kStickyFlags never are, and
// an enabled knote's source is looked at again.
int Queue::Modify(Slot slot, const KEvent& change, Recheck* recheck) {
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  if (!knote->Is(change.ident, change.filter)) {
    if (knote->Unlock()) Push(slot);
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

// One poll(2) for all: those that are ready become active. A descriptor that is not open any more is
// reported as EBADF, and its knotes are removed. Returns the number of errors written; `failed` gets the
// first one that there was no room for.
int Queue::ReadLevels(Recheck* recheck, KEvent* errors, int room, int* failed) {
  int written = 0;
  int ready = 0;
  do {
    ready = poll(recheck->polls, static_cast<nfds_t>(recheck->count), 0);
  } while (ready < 0 && errno == EINTR);
  for (int index = 0; index < recheck->count; index++) {
    const int seen = ready > 0 ? recheck->polls[index].revents : 0;
    const Slot slot = recheck->slots[index];
    const KEvent& change = recheck->changes[index];
    const bool closed = (seen & POLLNVAL) != 0;
    // NOTE_NODATA promises not to look.
    const bool another = !closed && (change.fflags & NOTE_NODATA) == 0 && IsAnother(change.ident, slot);
    if (closed || another) {
      if (knotes_.At(slot)->generation() != recheck->generations[index]) continue;
      Detach(static_cast<int>(change.ident));
      const int error = closed ? EBADF : ENOENT;
      if (written < room) {
        errors[written++] = {change.ident, change.filter, EV_ERROR, 0, error, change.udata};
      } else if (*failed == 0) {
        *failed = error;
      }
      continue;
    }
    if (seen == 0) continue;
    const uint32_t more =
        ((seen & recheck->EndOf(index)) != 0 ? kSawEof : 0) | ((seen & POLLERR) != 0 ? kSawError : 0);
    if (knotes_.At(slot)->Activate(recheck->generations[index], more)) {
      ready_.Push(slot);
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
  knote->Stick(EV_ONESHOT);
  knote->Update(kForced | kActive, 0);
  return true;
}

int Queue::Remove(const KEvent& change) {
  if (!IsDescriptorFilter(change.filter)) {
    std::lock_guard<std::mutex> guard(names_.lock());
    const Slot slot = FindNamed(change);
    const int absent =
        IsNamedByDescriptor(change.filter) ? Absent(static_cast<int>(change.ident)) : int{ENOENT};
    if (slot == 0) return absent;
    Knote* knote = knotes_.At(slot);
    knote->Lock();
    const bool there = knote->Is(change.ident, change.filter);
    if (there && Defer(knote, change)) {
      if (knote->Unlock()) Push(slot);
      return EINPROGRESS;
    }
    // A one-shot that was just delivered is not here any more; who delivered it cleans up.
    if (there) {
      DropNamed(knote, slot);
    } else if (knote->Unlock()) {
      Push(slot);
    }
    return there ? 0 : absent;
  }
  const auto descriptor = static_cast<int>(change.ident);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if (record == nullptr) return Absent(descriptor);
  RecordGuard guard(record);
  const int which = WhichOf(change.filter);
  const Slot slot = record->slots[which].load(std::memory_order_acquire);
  if (slot == 0 || !knotes_.At(slot)->Is(change.ident, change.filter)) return Absent(descriptor);
  const bool may_defer = (change.fflags & NOTE_DEFER) != 0 && fcntl(descriptor, F_GETFD) >= 0;
  const bool file = knotes_.At(slot)->source() == Source::kFile;
  if (!DropDescriptorKnote(record, which, may_defer ? &change : nullptr)) return EINPROGRESS;
  if (file) return fcntl(descriptor, F_GETFD) < 0 ? errno : 0;
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
    LetGo(knote, slot);
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

// Whether epoll has this very file under this number: an EPOLL_CTL_ADD is refused with EEXIST then, without
// any effect. With the record's lock, for an ADD that succeeds is undone.
bool Queue::IsRegistered(int descriptor) {
  epoll_event probe{0, {.u64 = kProbeTag}};
  // By number: ThreadSanitizer would object to a question about a descriptor that another thread closes,
  // which is the very question.
  if (syscall(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_ADD, descriptor, &probe) < 0) return errno == EEXIST;
  syscall(SYS_epoll_ctl, epoll_.get(), EPOLL_CTL_DEL, descriptor, &probe);
  return false;
}

// Whether the descriptor of a knote was closed behind the queue's back, its number given to another file.
bool Queue::IsAnother(int64_t descriptor, Slot slot) {
  DescriptorRecord* record = descriptors_.Find(descriptor);
  RecordGuard guard(record);
  Knote* knote = knotes_.At(slot);
  if (knote->source() != Source::kFile) return !IsRegistered(static_cast<int>(descriptor));
  knote->Lock();
  const bool gone = knote->source() == Source::kFile && vnode_.IsGone(*knote, slot);
  if (knote->Unlock()) Push(slot);
  return gone;
}

int Queue::Watch(int descriptor, DescriptorRecord* record, bool adding) {
  uint32_t events = EPOLLET;
  if (record->slots[DescriptorRecord::kRead].load(std::memory_order_relaxed) != 0) {
    events |= EPOLLIN | EPOLLRDHUP;
  }
  if (record->slots[DescriptorRecord::kWrite].load(std::memory_order_relaxed) != 0) events |= EPOLLOUT;
  // A new registration is a new generation: what epoll still says of the old one is stale.
  const uint32_t generation = adding ? record->Raise() : record->generation();
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

// The knotes that have a descriptor for a name. False: there are none.
bool Queue::DetachNamed(int descriptor) {
  // A hint, which a thread sees of its own changes: most queues have none.
  if (named_by_descriptor_.load(std::memory_order_relaxed) == 0) return false;
  bool any = false;
  std::lock_guard<std::mutex> guard(names_.lock());
  for (const int16_t filter : kNamedByDescriptor) {
    const Slot slot = names_.Find(descriptor, filter);
    if (slot == 0) continue;
    Knote* knote = knotes_.At(slot);
    knote->Lock();
    if (knote->Is(descriptor, filter)) {
      DropNamed(knote, slot);
      any = true;
    } else if (knote->Unlock()) {
      Push(slot);
    }
  }
  return any;
}

int Queue::Detach(int descriptor) {
  const bool named = DetachNamed(descriptor);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if (record == nullptr) return named ? 0 : ENOENT;
  RecordGuard guard(record);
  const bool any = record->slots[DescriptorRecord::kRead].load(std::memory_order_relaxed) != 0 ||
                   record->slots[DescriptorRecord::kWrite].load(std::memory_order_relaxed) != 0;
  if (!any) return named ? 0 : ENOENT;
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
