// What a thread had claimed when it died.
#include <mutex>
#include <utility>

#include "descriptor_filter.h"
#include "queue.h"

namespace kevent {
namespace {

// What delivery has taken from a locked knote with EV_CLEAR or EV_ONESHOT.
void RestorePending(Knote* knote, const KEvent& event) {
  switch (event.filter) {
    case EVFILT_TIMER:
    case EVFILT_SIGNAL:
      knote->Count(event.data);
      break;
    case EVFILT_VNODE:
    case EVFILT_FS:
      knote->pending |= event.fflags;
      break;
    case EVFILT_USER:
      knote->pending = 1;
      break;
    default:  // the level tells
      break;
  }
}

}  // namespace

void Queue::GiveBack(const KEvent* events, int count, const Consumer& consumer) {
  for (int index = 0; index < count; index++) {
    const KEvent& event = events[index];
    if ((event.flags & EV_ERROR) != 0) continue;
    counters_->delivered.fetch_sub(1, std::memory_order_relaxed);
    if ((event.flags & EV_FORCEONESHOT) != 0) counters_->forced.fetch_sub(1, std::memory_order_relaxed);
    if ((event.flags & EV_ONESHOT) != 0) {
      Remake(event);
    } else if ((event.flags & (EV_DISPATCH | EV_CLEAR)) != 0) {  // others are in the queue as ever
      Return(event, consumer);
    }
  }
}

void Queue::Orphaned(const KEvent* events, int count, const Consumer& consumer) {
  const std::lock_guard<std::mutex> guard(orphans_mutex_);
  for (int index = 0; index < count; index++) {
    const uint16_t flags = events[index].flags;
    const bool held = (flags & EV_DISPATCH) != 0 && (flags & EV_ONESHOT) == 0;
    const bool comes_again = (flags & (EV_DISPATCH | EV_CLEAR | EV_ONESHOT)) == 0;
    if ((flags & EV_ERROR) == 0 && !held && !comes_again) orphans_.push_back({events[index], consumer.id()});
  }
}

std::vector<Orphan> Queue::TakeOrphans() {
  const std::lock_guard<std::mutex> guard(orphans_mutex_);
  return std::exchange(orphans_, {});
}

Slot Queue::Find(const KEvent& event) {
  if (!IsDescriptorFilter(event.filter)) {
    const std::lock_guard<std::mutex> guard(names_.lock());
    return names_.Find(event.ident, event.filter);
  }
  const DescriptorRecord* record = descriptors_.Find(event.ident);
  // Acquire pairs with the release of the slot's store.
  return record == nullptr ? 0 : record->slots[WhichOf(event.filter)].load(std::memory_order_acquire);
}

void Queue::Return(const KEvent& event, const Consumer& consumer) {
  const Slot slot = Find(event);
  if (slot == 0) return;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  const bool dispatched = (event.flags & EV_DISPATCH) != 0;
  const bool same = knote->Is(event.ident, event.filter) && (!dispatched || knote->holder == consumer.id());
  if (!same) return Unlock(knote, slot);
  if ((event.flags & EV_CLEAR) != 0) RestorePending(knote, event);
  if (dispatched) knote->holder = 0;
  Unlock(knote, slot, kActive, dispatched ? kDisabled : 0);
}

// A one-shot's knote is gone. It is made again, disabled until it is as it was; if there is a new one of its
// name, or its descriptor is closed, it is over.
void Queue::Remake(const KEvent& event) {
  const bool user = event.filter == EVFILT_USER;
  const bool noted = event.filter == EVFILT_VNODE || event.filter == EVFILT_FS ||
                     event.filter == EVFILT_PROC || event.filter == EVFILT_PROCDESC;
  const uint32_t fflags = user ? NOTE_FFCOPY | event.fflags : noted ? event.fflags : 0;
  const auto sticky = static_cast<uint16_t>(event.flags & kStickyFlags);
  const KEvent change{event.ident, event.filter,          static_cast<uint16_t>(EV_ADD | EV_DISABLE | sticky),
                      fflags,      user ? event.data : 0, event.udata};
  const Slot slot = MakeUnlessThere(change);
  if (slot == 0) return;
  Knote* knote = knotes_.At(slot);
  knote->Lock();
  if (!knote->Is(event.ident, event.filter)) return Unlock(knote, slot);
  knote->pending = 0;
  RestorePending(knote, event);
  const uint32_t forced = (event.flags & EV_FORCEONESHOT) != 0 ? kForced : 0;
  Unlock(knote, slot, kActive | forced, kDisabled);
}

// The slot of a knote that is made, else 0.
Slot Queue::MakeUnlessThere(const KEvent& change) {
  if (Prepare(change) != 0) return 0;
  if (!IsDescriptorFilter(change.filter)) {
    const std::lock_guard<std::mutex> guard(names_.lock());
    const bool made = FindNamed(change) == 0 && MakeNamedKnote(change) == 0;
    return made ? names_.Find(change.ident, change.filter) : 0;
  }
  DescriptorRecord* record = descriptors_.Find(change.ident);
  if (record == nullptr) return 0;
  const RecordGuard guard(record);
  const auto& place = record->slots[WhichOf(change.filter)];
  const bool made = place.load(std::memory_order_acquire) == 0 && MakeDescriptorKnote(change, record) == 0;
  return made ? place.load(std::memory_order_acquire) : 0;
}

}  // namespace kevent
