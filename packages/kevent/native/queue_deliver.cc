// Delivery: from an edge or a push to an event in the caller's list, and what becomes of the knote.
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "epoll_tag.h"
#include "hand.h"
#include "queue.h"

namespace kevent {

struct Queue::Level {
  int64_t data = 0;
  uint32_t fflags = 0;
  bool eof = false;
};

namespace {

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

int64_t WriteRoom(int descriptor) {
  int buffer = 0;
  int queued = 0;
  socklen_t size = sizeof(buffer);
  if (getsockopt(descriptor, SOL_SOCKET, SO_SNDBUF, &buffer, &size) == 0) {
    if (ioctl(descriptor, SIOCOUTQ, &queued) < 0) queued = 0;
    return buffer > queued ? buffer - queued : 1;
  }
  constexpr int kGetPipeSize = 1032;  // F_GETPIPE_SZ
  const int capacity = fcntl(descriptor, kGetPipeSize);
  if (capacity < 0) return 1;
  if (ioctl(descriptor, FIONREAD, &queued) < 0) queued = 0;
  return capacity > queued ? capacity - queued : 1;
}

}  // namespace

void Queue::Push(Slot slot) {
  ring_.Push(slot);
  WakeOne();
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
    if (record->generation.load(std::memory_order_acquire) != TagGeneration(tag)) return;
    // No wake-up: whoever harvests claims from the ring next, and passes on what is left.
    const uint32_t more = error | ((events & ends[which]) != 0 ? kSawEof : 0);
    if (knote->Activate(Knote::Generation(state), more)) {
      if (hand != nullptr) {
        hand->Add(slot);
      } else {
        ring_.Push(slot);
      }
    } else if ((state & (kLive | kActive)) == (kLive | kActive)) {
      counters_->duplicates.fetch_add(1, std::memory_order_relaxed);
    }
  }
}

void Queue::RunTimers(TimerHeap* heap) {
  std::vector<TimerHeap::Timer> due;
  heap->TakeDue(&due);
  const int64_t now = heap->Now();
  for (const TimerHeap::Timer& timer : due) {
    Knote* knote = timer.knote;
    const uint64_t state = knote->Lock();
    const bool same = Knote::Generation(state) == timer.generation && (state & kLive) != 0;
    if (same && knote->heap_index == 0) {  // else it was set anew meanwhile
      const bool periodic = heap == &monotonic_ && (knote->flags & EV_ONESHOT) == 0;
      const int64_t missed = periodic ? (now - timer.deadline) / knote->data : 0;
      knote->pending += 1 + missed;
      if (periodic) heap->Arm(knote, timer.slot, timer.deadline + (1 + missed) * knote->data);
      knote->Update(kActive, 0);
    }
    if (knote->Unlock()) ring_.Push(timer.slot);
  }
}

// The harvester's own share needs no way through the ring, which the other threads contend for.
int Queue::ClaimHand(const Hand& hand, int max, KEvent* events, Consumer* consumer) {
  for (int index = max; index < hand.count; index++) ring_.Push(hand.slots[index]);
  const size_t budget = ring_.Size();  // without what this call itself puts back
  int count = 0;
  if (hand.count > 0) {
    claims_.fetch_add(1, std::memory_order_seq_cst);
    for (int index = 0; index < std::min(max, hand.count); index++) {
      if (Claim(hand.slots[index], &events[count], consumer)) count++;
    }
    claims_.fetch_add((uint64_t{1} << 32) - 1, std::memory_order_seq_cst);
  }
  return count + ClaimFromRing(max - count, budget, events + count, consumer);
}

int Queue::ClaimUpTo(int max, KEvent* events, Consumer* consumer) {
  return ClaimFromRing(max, ring_.Size(), events, consumer);
}

// One pass: a level-triggered knote that goes back to the tail is not met again in the same call.
int Queue::ClaimFromRing(int max, size_t budget, KEvent* events, Consumer* consumer) {
  if (budget == 0 || max == 0) return 0;
  uint64_t high = counters_->ring_high.load(std::memory_order_relaxed);
  while (high < budget &&
         !counters_->ring_high.compare_exchange_weak(high, budget, std::memory_order_relaxed)) {
  }
  claims_.fetch_add(1, std::memory_order_seq_cst);
  int count = 0;
  Slot slot = 0;
  while (count < max && budget-- > 0 && ring_.Pop(&slot)) {
    if (Claim(slot, &events[count], consumer)) count++;
  }
  claims_.fetch_add((uint64_t{1} << 32) - 1, std::memory_order_seq_cst);
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
  Level level;
  const bool disabled = (before & kDisabled) != 0;
  if (disabled) {
    knote->Update(kActive, 0);  // kept for the EV_ENABLE to come
  } else if (Evaluate(*knote, before, &level) || (before & kForced) != 0) {
    Deliver(knote, slot, before, level, event, consumer);
    return true;
  } else {
    counters_->stale.fetch_add(1, std::memory_order_relaxed);
  }
  if (knote->Unlock()) ring_.Push(slot);
  return false;
}

// What the filter says of its source now (f_event). False: nothing to deliver.
bool Queue::Evaluate(const Knote& knote, uint64_t state, Level* level) {
  if (knote.filter == EVFILT_USER || knote.filter == EVFILT_TIMER) {
    level->data = knote.filter == EVFILT_USER ? knote.data : knote.pending;
    level->fflags = knote.filter == EVFILT_USER ? knote.fflags : 0;
    return knote.pending != 0;
  }
  if (knote.wrong_way) return false;
  const auto descriptor = static_cast<int>(knote.ident);
  // A FIFO's end of file is over when another process opens it: asked again once it was seen.
  const bool was_eof = (state & kSawEof) != 0;
  if ((knote.fflags & NOTE_NODATA) != 0) {
    // A level-triggered one comes round until somebody sees that it is not ready any more.
    const bool level_triggered = (knote.flags & (EV_ONESHOT | EV_CLEAR | EV_DISPATCH)) == 0;
    if (level_triggered && !IsReady(descriptor, knote.filter)) return false;
    level->eof = was_eof && AtEof(descriptor, knote.filter);
    return true;
  }
  if ((state & kSawError) != 0) level->fflags = SocketError(descriptor);
  const int64_t low_water = (knote.fflags & NOTE_LOWAT) != 0 && knote.data > 1 ? knote.data : 1;
  if (knote.filter == EVFILT_WRITE) {
    const short seen = PollNow(descriptor, POLLOUT);
    level->eof = (seen & kWriterEof) != 0;
    if (level->eof) return true;
    if ((seen & POLLOUT) == 0) return false;
    level->data = WriteRoom(descriptor);
    return level->data >= low_water;
  }
  int available = 0;
  const bool counted = ioctl(descriptor, FIONREAD, &available) == 0;
  const bool listening = !counted && errno == EINVAL;
  level->data = available;
  if (counted && available >= low_water) {
    level->eof = was_eof && AtEof(descriptor, knote.filter);
    return true;
  }
  const short seen = PollNow(descriptor, POLLIN | POLLRDHUP);
  level->eof = (seen & kReaderEof) != 0;
  if (level->eof) return true;
  if ((seen & POLLIN) == 0) return false;
  // Readable without a count: a listener, an eventfd, an empty datagram.
  if (!counted) level->data = listening ? AcceptQueue(descriptor) : 1;
  return available == 0;
}

void Queue::Deliver(Knote* knote, Slot slot, uint64_t state, const Level& level, KEvent* event,
                    Consumer* consumer) {
  const bool forced = (state & kForced) != 0;
  uint32_t flags = knote->flags;
  if (level.eof) flags |= EV_EOF;
  if (forced) flags |= EV_FORCEONESHOT;
  *event = {knote->ident, knote->filter, static_cast<uint16_t>(flags),
            level.fflags, level.data,    knote->udata};
  if (forced) counters_->forced.fetch_add(1, std::memory_order_relaxed);
  if ((knote->flags & EV_ONESHOT) != 0) {
    if (knote->filter == EVFILT_TIMER) HeapOf(*knote)->Disarm(knote);  // forced before it expired
    knote->Drop();
    knote->Update(0, kLocked);
    FinishOneshot(slot, event->ident, event->filter);
    return;
  }
  if ((knote->flags & EV_CLEAR) != 0) knote->pending = 0;
  uint32_t set = 0;
  if ((knote->flags & EV_DISPATCH) != 0) {
    knote->holder = consumer->id();
    set = kDisabled;
  } else if ((knote->flags & EV_CLEAR) == 0) {
    set = kActive;  // level-triggered: to the tail, to be looked at again at its next turn
  }
  if (knote->Unlock(set)) ring_.Push(slot);
}

// The knote is dropped and unlocked; now its name goes. A knote's lock is never held while a name's is
// taken, so that a new knote may have the name already.
void Queue::FinishOneshot(Slot slot, int64_t ident, int16_t filter) {
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
      views.push_back({{knote->ident, knote->filter, knote->flags, knote->fflags, knote->data, knote->udata},
                       knote->holder,
                       (state & kDisabled) != 0,
                       (state & kQueued) != 0});
    }
    // An activation may have come while it was locked.
    if (knote->Unlock()) Push(slot);
  }
  return views;
}

}  // namespace kevent
