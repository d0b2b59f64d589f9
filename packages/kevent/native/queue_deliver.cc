// Delivery: from an edge or a push to an event in the caller's list, and what becomes of the knote.
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "epoll_tag.h"
#include "hand.h"
#include "queue.h"
#include "registry.h"

namespace kevent {

namespace {

int64_t LowWater(const Knote& knote) {
  return (knote.fflags & NOTE_LOWAT) != 0 && knote.data > 1 ? knote.data : 1;
}

short PollNow(int descriptor, short events) {
  pollfd poll_descriptor{descriptor, events, 0};
  if (poll(&poll_descriptor, 1, 0) <= 0) return 0;
  return poll_descriptor.revents;
}

constexpr short kReaderEof = POLLHUP | POLLRDHUP;
constexpr short kWriterEof = POLLHUP | POLLERR;

bool AtEof(int descriptor, int16_t filter) {
  if (filter == EVFILT_WRITE) return (PollNow(descriptor, POLLOUT) & kWriterEof) != 0;
  return (PollNow(descriptor, POLLIN | POLLRDHUP) & kReaderEof) != 0;
}

bool IsReady(int descriptor, int16_t filter) {
  return (PollNow(descriptor, filter == EVFILT_WRITE ? POLLOUT : POLLIN | POLLRDHUP) & ~POLLNVAL) != 0;
}

// The pending error of a socket. Reading it clears it: it is read only when epoll reported one, and is in
// the event from then on.
uint32_t SocketError(int descriptor) {
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? static_cast<uint32_t>(error) : 0;
}

// Length of a TCP listener's accept queue (tcp_info.tcpi_unacked of a listening socket); others do not tell.
int64_t AcceptQueue(int descriptor) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  const bool known = getsockopt(descriptor, IPPROTO_TCP, TCP_INFO, &info, &size) == 0;
  return known && info.tcpi_unacked > 0 ? info.tcpi_unacked : 1;
}

// Of a socket as the kernel counts it, with what buffers cost beside their bytes: so that it is room.
int64_t WriteRoom(int descriptor) {
  int queued = 0;
  std::array<uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t size = sizeof(memory);
  constexpr int kMemoryInfo = 55;  // SO_MEMINFO, since Linux 4.12
  if (getsockopt(descriptor, SOL_SOCKET, kMemoryInfo, memory.data(), &size) == 0) {
    const int64_t used = std::max(memory[SK_MEMINFO_WMEM_ALLOC], memory[SK_MEMINFO_WMEM_QUEUED]);
    return std::max<int64_t>(int64_t{memory[SK_MEMINFO_SNDBUF]} - used, 1);
  }
  constexpr int kGetPipeSize = 1032;  // F_GETPIPE_SZ
  const int capacity = fcntl(descriptor, kGetPipeSize);
  if (capacity < 0) return 1;
  if (ioctl(descriptor, FIONREAD, &queued) < 0) queued = 0;
  return capacity > queued ? capacity - queued : 1;
}

}  // namespace

void Queue::Push(Slot slot) {
  ready_.Push(slot);
  WakeOne();
}

void Queue::Unlock(Knote* knote, Slot slot, uint32_t set, uint32_t clear) {
  if (knote->Unlock(set, clear)) Push(slot);
}

void Queue::Activate(uint64_t tag, uint32_t events, Hand* hand) {
  DescriptorRecord* record = descriptors_.Find(TagDescriptor(tag));
  if (record == nullptr) return;
  const uint32_t common = events & (EPOLLHUP | EPOLLERR);
  const uint32_t error = (events & EPOLLERR) != 0 ? kSawError : 0;
  const uint32_t concerns[2] = {(events & (EPOLLIN | EPOLLRDHUP)) | common, (events & EPOLLOUT) | common};
  // What says that the other end is gone: to a reader that it writes no more, to a writer that it reads no
  // more.
  const uint32_t ends[2] = {EPOLLHUP | EPOLLRDHUP, EPOLLHUP | EPOLLERR};
  for (int which = 0; which < 2; which++) {
    if (concerns[which] == 0) continue;
    const Slot slot = record->slots[which].load(std::memory_order_acquire);
    if (slot == 0) continue;
    Knote* knote = knotes_.At(slot);
    const uint64_t state = knote->state.load(std::memory_order_acquire);
    // Looked at after the knote: if the registration is still the tag's, the knote just seen belongs to it;
    // if the knote is dropped from here on, its generation moves and Activate does nothing.
    if (record->generation() != TagGeneration(tag)) return;
    // No wake-up: whoever harvests claims from the ring next, and passes on what is left.
    const uint32_t more = error | ((events & ends[which]) != 0 ? kSawEof : 0);
    if (knote->Activate(Knote::Generation(state), more)) {
      if (hand != nullptr) {
        hand->Add(slot);
      } else {
        ready_.Push(slot);
      }
    } else if ((state & (kLive | kActive)) == (kLive | kActive)) {
      counters_->duplicates.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

// Of a knote that has a registration of its own.
void Queue::ActivateKnote(uint64_t tag) {
  const Slot slot = TagSlot(tag);
  if (knotes_.At(slot)->Activate(TagGeneration(tag), 0)) ready_.Push(slot);
}

// What a filter's descriptor tells goes to its knotes.
void Queue::RunFilter(Filter* filter) {
  std::vector<Occurrence> found;
  filter->Collect(&found);
  for (const Occurrence& occurrence : found) {
    Knote* knote = knotes_.At(occurrence.slot);
    const uint64_t state = knote->Lock();
    const bool same = Knote::Generation(state) == occurrence.generation && (state & kLive) != 0;
    if (same && filter->Note(knote, occurrence.what)) knote->Update(kActive, 0);
    if (knote->Unlock()) ready_.Push(occurrence.slot);
  }
}

size_t Queue::CountDue() {
  if (closed()) return 0;
  {
    const Claiming claiming(this);
    Harvest(0, Hand::kMostEdges, nullptr);
  }
  const size_t due = ready_.Size();
  // What this took from epoll, threads that sleep on this queue do not get from there any more.
  const uint64_t watchers = exposed_.load(std::memory_order_relaxed) ? 1 : 0;
  if (due > 0 && static_cast<uint32_t>(sleepers_.load(std::memory_order_seq_cst)) > watchers) WakeOne();
  return due;
}

// Nothing tells of what a knote waits for: no edge comes when the last byte leaves a send buffer, or when its
// room passes a low-water mark while it is writable. While it waits, and is enabled, it is looked at by
// timers, at most every 32 ms.
void Queue::LookAgain(Knote* knote, Slot slot) {
  constexpr int64_t kLongest = 32;
  constexpr int64_t kMillisecond = 1'000'000;
  knote->pending = std::clamp<uint32_t>(knote->pending * 2, 1, kLongest);
  knote->Update(kLooksAgain, 0);
  monotonic_.Arm(knote, slot, monotonic_.Now() + knote->pending * kMillisecond);
}

void Queue::RunTimers(TimerHeap* heap) {
  std::vector<TimerHeap::Timer> due;
  heap->TakeDue(&due);
  const int64_t now = heap->Now();
  for (const TimerHeap::Timer& timer : due) {
    Knote* knote = timer.knote;
    const uint64_t state = knote->Lock();
    if ((state & kLive) != 0 && HeapOf(*knote) == heap && heap->Settle(timer)) {
      if (knote->looks_again()) {
        if (knote->Unlock(kActive, kLooksAgain)) ready_.Push(timer.slot);
        continue;
      }
      const bool periodic = heap == &monotonic_ && (knote->flags() & EV_ONESHOT) == 0;
      const int64_t missed = periodic ? (now - timer.deadline) / knote->data : 0;
      knote->Count(1 + missed);
      if (periodic) heap->Arm(knote, timer.slot, timer.deadline + (1 + missed) * knote->data);
      knote->Update(kActive, 0);
    }
    if (knote->Unlock()) ready_.Push(timer.slot);
  }
}

// Without waiting.
int Queue::ClaimEdges(int max, KEvent* events, Consumer* consumer) {
  consumer->claims_since_harvest_ = 0;
  const Claiming claiming(this);
  Hand hand;
  Harvest(0, Hand::kMostEdges, &hand);
  return ClaimHand(hand, max, events, consumer);
}

// The harvester's own share needs no way through the ring, which the other threads contend for.
int Queue::ClaimHand(const Hand& hand, int max, KEvent* events, Consumer* consumer) {
  for (int index = max; index < hand.count; index++) ready_.Push(hand.slots[index]);
  const size_t budget = ready_.Pass();  // without what this call itself puts back
  int count = 0;
  if (hand.count > 0) {
    const Claiming claiming(this);
    for (int index = 0; index < std::min(max, hand.count); index++) {
      if (Claim(hand.slots[index], &events[count], consumer)) count++;
    }
  }
  return count + ClaimFromRing(max - count, budget, events + count, consumer);
}

int Queue::ClaimUpTo(int max, KEvent* events, Consumer* consumer) {
  return ClaimFromRing(max, ready_.Pass(), events, consumer);
}

// One pass: a level-triggered knote that goes back to the tail is not met again in the same call.
int Queue::ClaimFromRing(int max, size_t budget, KEvent* events, Consumer* consumer) {
  if (budget == 0 || max == 0) return 0;
  const uint64_t waiting = ready_.Size();
  uint64_t high = counters_->ring_high.load(std::memory_order_relaxed);
  while (high < waiting &&
         !counters_->ring_high.compare_exchange_weak(high, waiting, std::memory_order_relaxed)) {
  }
  const Claiming claiming(this);
  int count = 0;
  Slot slot = 0;
  while (count < max && budget-- > 0 && ready_.Pop(&slot)) {
    if (Claim(slot, &events[count], consumer)) count++;
  }
  return count;
}

// For a call that will not wait: finds nothing only if the ring was empty at some moment and no thread had
// taken from it what may be on its way back.
int Queue::ClaimSettled(int max, KEvent* events, Consumer* consumer) {
  for (;;) {
    const uint64_t before = claims_.load(std::memory_order_seq_cst);
    const int count = ClaimUpTo(max, events, consumer);
    const bool settled =
        static_cast<uint32_t>(before) == 0 && claims_.load(std::memory_order_seq_cst) == before;
    if (count > 0 || settled) return count;
    sched_yield();
  }
}

bool Queue::Claim(Slot slot, KEvent* event, Consumer* consumer) {
  Knote* knote = knotes_.At(slot);
  // kActive is cleared before the level is read: an edge from here on sets it anew and is not lost.
  const uint64_t before = knote->Lock(kQueued | kActive);
  if ((before & kLive) == 0) {  // removed while it stood in the ring
    Release(slot, knote);
    return false;
  }
  if ((before & kDisabled) != 0) {
    if (knote->Unlock(kActive)) ready_.Push(slot);  // kept for the EV_ENABLE to come
    return false;
  }
  Level level;
  Verdict verdict = Confirm(*knote);
  if (verdict == Verdict::kDue) {
    verdict = Evaluate(knote, slot, before, &level);
    if (verdict == Verdict::kNothing && (before & kForced) != 0) verdict = Verdict::kDue;
  }
  if (verdict == Verdict::kDue) {
    Deliver(knote, slot, before, level, event, consumer);
    return true;
  }
  counters_->stale.fetch_add(1, std::memory_order_relaxed);
  if (verdict == Verdict::kGone) {
    Finish(knote, slot);
  } else if (knote->Unlock(verdict == Verdict::kLater ? kActive : 0)) {
    ready_.Push(slot);
  }
  return false;
}

// What is due may be of a file that was closed meanwhile, its number given to another: whether the descriptor
// of a locked knote still is the one that epoll watches. Even an edge that has just come may be of such a
// file, while a duplicate of it lives. NOTE_NODATA promises not to look.
Verdict Queue::Confirm(const Knote& knote) {
  const bool epoll =
      (knote.filter() == EVFILT_READ || knote.filter() == EVFILT_WRITE) && knote.source() != Source::kFile;
  if (!epoll || (knote.fflags & NOTE_NODATA) != 0) return Verdict::kDue;
  DescriptorRecord* record = descriptors_.Find(knote.ident);
  // Locks are taken the other way round: whoever has this one may wait for the knote.
  if (!record->TryLock()) return Verdict::kLater;
  const bool registered = IsRegistered(static_cast<int>(knote.ident));
  record->Unlock();
  return registered ? Verdict::kDue : Verdict::kGone;
}

// What the filter says of its source now (f_event).
Verdict Queue::Evaluate(Knote* knote, Slot slot, uint64_t state, Level* level) {
  if (knote->filter() == EVFILT_USER || knote->filter() == EVFILT_TIMER) {
    level->data = knote->filter() == EVFILT_USER ? knote->data : knote->pending;
    level->fflags = knote->filter() == EVFILT_USER ? knote->fflags : 0;
    return knote->pending != 0 ? Verdict::kDue : Verdict::kNothing;
  }
  if (Filter* filter = FilterOf(*knote); filter != nullptr) {
    const Verdict verdict = filter->Evaluate(knote, slot, level);
    if (verdict == Verdict::kNothing && knote->filter() == EVFILT_EMPTY) LookAgain(knote, slot);
    return verdict;
  }
  if (knote->source() == Source::kNever) return Verdict::kNothing;
  const auto descriptor = static_cast<int>(knote->ident);
  if ((knote->fflags & NOTE_NODATA) != 0) {
    // A level-triggered one comes round until somebody sees that it is not ready any more.
    const bool level_triggered = (knote->flags() & (EV_ONESHOT | EV_CLEAR | EV_DISPATCH)) == 0;
    if (level_triggered && !IsReady(descriptor, knote->filter())) return Verdict::kNothing;
    level->eof = (state & kSawEof) != 0 && AtEof(descriptor, knote->filter());
    return Verdict::kDue;
  }
  if ((state & kSawError) != 0) level->fflags = SocketError(descriptor);
  return knote->filter() == EVFILT_WRITE ? EvaluateWrite(knote, slot, level)
                                         : EvaluateRead(*knote, state, level);
}

Verdict Queue::EvaluateWrite(Knote* knote, Slot slot, Level* level) {
  const auto descriptor = static_cast<int>(knote->ident);
  const short seen = PollNow(descriptor, POLLOUT);
  if ((seen & POLLNVAL) != 0) return Verdict::kGone;
  level->eof = (seen & kWriterEof) != 0;
  if (level->eof) return Verdict::kDue;
  if ((seen & POLLOUT) == 0) return Verdict::kNothing;
  level->data = WriteRoom(descriptor);
  if (level->data >= LowWater(*knote)) return Verdict::kDue;
  LookAgain(knote, slot);
  return Verdict::kNothing;
}

Verdict Queue::EvaluateRead(const Knote& knote, uint64_t state, Level* level) {
  const auto descriptor = static_cast<int>(knote.ident);
  int available = 0;
  const int error = ioctl(descriptor, FIONREAD, &available) == 0 ? 0 : errno;
  if (error == EBADF) return Verdict::kGone;
  if (error != 0) {
    if (const Registry::Share queue = Registry::Get()->FindDescriptor(descriptor)) {
      level->data = static_cast<int64_t>(queue->CountDue());
      return level->data > 0 ? Verdict::kDue : Verdict::kNothing;
    }
  }
  level->data = available;
  if (error == 0 && available >= LowWater(knote)) {
    // A FIFO's end of file is over when another process opens it: asked again once it was seen.
    level->eof = (state & kSawEof) != 0 && AtEof(descriptor, knote.filter());
    return Verdict::kDue;
  }
  const short seen = PollNow(descriptor, POLLIN | POLLRDHUP);
  level->eof = (seen & kReaderEof) != 0;
  if (level->eof) return Verdict::kDue;
  if ((seen & POLLIN) == 0) return Verdict::kNothing;
  // Readable without a count: a listener, an eventfd, an empty datagram.
  if (error != 0) level->data = error == EINVAL ? AcceptQueue(descriptor) : 1;
  return available == 0 ? Verdict::kDue : Verdict::kNothing;
}

void Queue::Deliver(Knote* knote, Slot slot, uint64_t state, const Level& level, KEvent* event,
                    Consumer* consumer) {
  const bool forced = (state & kForced) != 0;
  uint32_t flags = knote->flags();
  if (level.eof) flags |= EV_EOF;
  if (forced) flags |= EV_FORCEONESHOT;
  *event = {knote->ident, knote->filter(), static_cast<uint16_t>(flags),
            level.fflags, level.data,      knote->udata};
  if (forced) counters_->forced.fetch_add(1, std::memory_order_relaxed);
  if ((knote->flags() & EV_ONESHOT) != 0) {
    Finish(knote, slot);
    return;
  }
  if ((knote->flags() & EV_CLEAR) != 0 || knote->filter() == EVFILT_EMPTY) knote->pending = 0;
  uint32_t set = 0;
  if ((knote->flags() & EV_DISPATCH) != 0) {
    knote->holder = consumer->id();
    set = kDisabled;
  } else if ((knote->flags() & EV_CLEAR) == 0) {
    set = kActive;  // level-triggered: to the tail, to be looked at again at its next turn
  }
  if (knote->Unlock(set)) ready_.Push(slot);
}

// The live, locked knote has had its last event, or never will. Its name goes when it is unlocked: a knote's
// lock is never held while a name's is taken. A new knote may have the name by then.
void Queue::Finish(Knote* knote, Slot slot) {
  const int64_t ident = knote->ident;
  const int16_t filter = knote->filter();
  LetGo(knote, slot);
  knote->Drop();
  knote->Update(0, kLocked);
  if (filter != EVFILT_READ && filter != EVFILT_WRITE) {
    std::lock_guard<std::mutex> guard(names_.lock());
    names_.Erase(ident, filter, slot);
    knotes_.Free(slot);
    return;
  }
  const auto descriptor = static_cast<int>(ident);
  DescriptorRecord* record = descriptors_.Find(descriptor);
  record->Lock();
  auto& place = record->slots[filter == EVFILT_READ ? DescriptorRecord::kRead : DescriptorRecord::kWrite];
  if (place.load(std::memory_order_relaxed) == slot) {
    place.store(0, std::memory_order_release);
    static_cast<void>(Forget(descriptor, record));  // fails only for a descriptor that is closed already
  }
  record->Unlock();
  knotes_.Free(slot);
}

std::vector<KnoteView> Queue::List() {
  std::vector<KnoteView> views;
  for (Slot slot = 1; slot < knotes_.limit(); slot++) {
    Knote* knote = knotes_.At(slot);
    if ((knote->state.load(std::memory_order_relaxed) & kLive) == 0) continue;
    const uint64_t state = knote->Lock();
    if ((state & kLive) != 0) {
      views.push_back(
          {{knote->ident, knote->filter(), knote->flags(), knote->fflags, knote->data, knote->udata},
           knote->holder,
           (state & kDisabled) != 0,
           (state & kQueued) != 0});
    }
    Unlock(knote, slot);
  }
  return views;
}

}  // namespace kevent
