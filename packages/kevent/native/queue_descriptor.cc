// READ and WRITE knotes, and the descriptors that they watch: one registration in epoll for both.
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "descriptor_filter.h"
#include "epoll_tag.h"
#include "queue.h"

namespace kevent {
namespace {

// Of a pipe's two ends each has one filter; the kernel reports errors and hang-ups of the other all the same.
bool IsWrongWay(const KEvent& change) {
  const int mode = fcntl(static_cast<int>(change.ident), F_GETFL) & O_ACCMODE;
  return mode == (change.filter == EVFILT_READ ? O_WRONLY : O_RDONLY);
}

}  // namespace

int Queue::RegisterDescriptor(const KEvent& change, Recheck* recheck) {
  const auto descriptor = static_cast<int>(change.ident);
  const int which = WhichOf(change.filter);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if ((change.flags & EV_ADD) == 0) {
    // The hot path: EV_ENABLE of a knote that is there. Acquire pairs with the release of the slot's store.
    const Slot slot = record == nullptr ? 0 : record->slots[which].load(std::memory_order_acquire);
    // A look at the level finds out whether the descriptor still is the one that is watched; a change that
    // needs no such look asks.
    const bool looks = (change.flags & (EV_ENABLE | EV_FORCEONESHOT)) == EV_ENABLE;
    if (slot != 0 && !looks && IsAnother(change.ident, slot)) {
      DetachStale(descriptor, slot, knotes_.At(slot)->generation());
      return Absent(descriptor);
    }
    const int error = slot == 0 ? ENOENT : Modify(slot, change, recheck);
    return error == ENOENT ? Absent(descriptor) : error;
  }
  if (record == nullptr) {
    if (fcntl(descriptor, F_GETFD) < 0) return errno;
    record = descriptors_.FindOrMake(descriptor);
    if (record == nullptr) return ENOMEM;
  }
  const RecordGuard guard(record);
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
  if (IsWrongWay(change)) knote->Update(Knote::SourceBits(Source::kNever), 0);
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
  Unlock(knote, slot);
  return 0;
}

int Queue::RemoveDescriptor(const KEvent& change) {
  const auto descriptor = static_cast<int>(change.ident);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if (record == nullptr) return Absent(descriptor);
  const bool may_defer = (change.fflags & NOTE_DEFER) != 0 && fcntl(descriptor, F_GETFD) >= 0;
  const RecordGuard guard(record);
  const int which = WhichOf(change.filter);
  const Slot slot = record->slots[which].load(std::memory_order_acquire);
  if (slot == 0) return Absent(descriptor);
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  // A one-shot that was just delivered is not here any more; who delivered it cleans up.
  const bool there = knote->Is(change.ident, change.filter);
  if (!there || (may_defer && Defer(knote, change))) {
    Unlock(knote, slot);
    return there ? EINPROGRESS : Absent(descriptor);
  }
  const bool file = knote->source() == Source::kFile;
  DropLive(record, which, knote, slot);
  if (file) return fcntl(descriptor, F_GETFD) < 0 ? errno : 0;
  return Forget(descriptor, record) ? 0 : errno;
}

// With the record's lock: whatever knote stands there.
void Queue::DropDescriptorKnote(DescriptorRecord* record, int which) {
  const Slot slot = record->slots[which].load(std::memory_order_acquire);
  if (slot == 0) return;
  Knote* knote = knotes_.At(slot);
  if ((knote->Lock() & kLive) != 0) return DropLive(record, which, knote, slot);
  // A dead one belongs to the thread that delivered it as a one-shot: that thread frees it.
  record->slots[which].store(0, std::memory_order_release);
  Unlock(knote, slot);
}

// With the record's lock, and the live knote's.
void Queue::DropLive(DescriptorRecord* record, int which, Knote* knote, Slot slot) {
  record->slots[which].store(0, std::memory_order_release);
  LetGo(knote, slot);
  knote->Drop();
  Release(slot, knote);
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
  const RecordGuard guard(record);
  Knote* knote = knotes_.At(slot);
  if (knote->source() != Source::kFile) return !IsRegistered(static_cast<int>(descriptor));
  knote->Lock();
  const bool gone = knote->source() == Source::kFile && vnode_.IsGone(*knote, slot);
  Unlock(knote, slot);
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

// With the record's lock. False: there were none.
bool Queue::DropBoth(int descriptor, DescriptorRecord* record) {
  const bool any = record->slots[DescriptorRecord::kRead].load(std::memory_order_relaxed) != 0 ||
                   record->slots[DescriptorRecord::kWrite].load(std::memory_order_relaxed) != 0;
  if (!any) return false;
  DropDescriptorKnote(record, DescriptorRecord::kRead);
  DropDescriptorKnote(record, DescriptorRecord::kWrite);
  // Fails only when the descriptor is closed already, and then epoll has forgotten it.
  static_cast<void>(Forget(descriptor, record));
  return true;
}

int Queue::Detach(int descriptor) {
  const bool named = DetachNamed(descriptor);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  if (record == nullptr) return named ? 0 : ENOENT;
  const RecordGuard guard(record);
  return DropBoth(descriptor, record) || named ? 0 : ENOENT;
}

// What a knote was found to have outlived: its descriptor was closed, or is another file's now. False:
// somebody else has found that, too, and the number may have knotes of its new file.
bool Queue::DetachStale(int descriptor, Slot slot, uint32_t generation) {
  DescriptorRecord* record = descriptors_.Find(descriptor);
  const RecordGuard guard(record);
  return knotes_.At(slot)->generation() == generation && DropBoth(descriptor, record);
}

int Queue::CloseDescriptor(int descriptor) {
  static_cast<void>(Detach(descriptor));  // it need not have been watched
  return close(descriptor) < 0 ? errno : 0;
}

}  // namespace kevent
