// Knotes that are found by name: all but READ and WRITE.
#include <cerrno>
#include <mutex>

#include "descriptor_filter.h"
#include "queue.h"

namespace kevent {

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
  Unlock(knote, slot);
  return there ? slot : 0;
}

// With the names' lock, and the live knote's.
void Queue::DropNamed(Knote* knote, Slot slot) {
  LetGo(knote, slot);
  names_.Erase(knote->ident, knote->filter(), slot);
  knote->Drop();
  Release(slot, knote);
}

int Queue::RegisterName(const KEvent& change) {
  Slot slot = 0;
  {
    const std::lock_guard<std::mutex> guard(names_.lock());
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
  Unlock(knote, slot);
  return 0;
}

int Queue::RemoveName(const KEvent& change) {
  const std::lock_guard<std::mutex> guard(names_.lock());
  const Slot slot = FindNamed(change);
  const int absent =
      IsNamedByDescriptor(change.filter) ? Absent(static_cast<int>(change.ident)) : int{ENOENT};
  if (slot == 0) return absent;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  // A one-shot that was just delivered is not here any more; who delivered it cleans up.
  const bool there = knote->Is(change.ident, change.filter);
  if (!there || Defer(knote, change)) {
    Unlock(knote, slot);
    return there ? EINPROGRESS : absent;
  }
  DropNamed(knote, slot);
  return 0;
}

// The knotes that have a descriptor for a name. False: there are none.
bool Queue::DetachNamed(int descriptor) {
  // A hint, which a thread sees of its own changes: most queues have none.
  if (named_by_descriptor_.load(std::memory_order_relaxed) == 0) return false;
  bool any = false;
  const std::lock_guard<std::mutex> guard(names_.lock());
  for (const int16_t filter : kNamedByDescriptor) {
    const Slot slot = names_.Find(descriptor, filter);
    if (slot == 0) continue;
    Knote* knote = knotes_.At(slot);
    knote->Lock();
    if (knote->Is(descriptor, filter)) {
      DropNamed(knote, slot);
      any = true;
    } else {
      Unlock(knote, slot);
    }
  }
  return any;
}

}  // namespace kevent
