// Due knotes on the way from epoll to the thread that took them.
#ifndef X_KEVENT_HAND_H_
#define X_KEVENT_HAND_H_

#include "queue.h"

namespace kevent {

// Sequentially consistent: a thread that finds nothing in epoll, because this one has taken it, sees it
// counted.
class Queue::Claiming {
 public:
  explicit Claiming(Queue* queue) : queue_(queue) { queue_->claims_.fetch_add(1, std::memory_order_seq_cst); }
  Claiming(const Claiming&) = delete;
  Claiming& operator=(const Claiming&) = delete;
  ~Claiming() { queue_->claims_.fetch_add((uint64_t{1} << 32) - 1, std::memory_order_seq_cst); }

 private:
  Queue* const queue_;
};

// Each is marked as queued, as if it stood in the ring: nobody else claims it, and its slot is not freed.
// What its thread does not claim at once goes to the ring.
struct Queue::Hand {
  static constexpr int kMostEdges = 64;  // taken from epoll at once

  void Add(Slot slot) { slots[count++] = slot; }

  int count = 0;
  Slot slots[kMostEdges * 2];  // READ and WRITE of each descriptor
};

}  // namespace kevent

#endif  // X_KEVENT_HAND_H_
