// Ends waits when the event loop of the waiting thread has work.
//
// A thread that waits in Queue::Kevent is deaf to its own libuv loop: to messages, to timers started by
// others' I/O, to Worker.terminate(). All of these make the loop's backend descriptor readable. One thread of
// the process, the sentinel, watches the backend descriptors of all loops whose thread waits in a queue, and
// interrupts the wait. It is an ordinary sleeper in epoll_wait(2) until then.
#ifndef X_KEVENT_SENTINEL_H_
#define X_KEVENT_SENTINEL_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>

#include "descriptor.h"
#include "queue.h"

namespace kevent {

// One per event loop. The loop's thread enters before it waits and leaves afterwards.
class Gate {
 public:
  // The loop has had an edge since this was last asked.
  bool TakeDirty() { return dirty_.exchange(false, std::memory_order_seq_cst); }
  bool dirty() const { return dirty_.load(std::memory_order_seq_cst); }

  // False when the loop has work already: do not wait. The lock orders it against Poke: a poke that comes
  // before is seen here, one that comes after finds the consumer.
  bool Enter(Queue* queue, Consumer* consumer) {
    std::lock_guard<std::mutex> guard(mutex_);
    if (dirty_.load(std::memory_order_seq_cst)) return false;
    queue_ = queue;
    consumer_ = consumer;
    return true;
  }
  // An interrupt that came too late to end the wait ends with it: dirty stays.
  void Leave() {
    std::lock_guard<std::mutex> guard(mutex_);
    queue_->ForgetInterrupt(consumer_);
    queue_ = nullptr;
    consumer_ = nullptr;
  }
  void Poke() {
    std::lock_guard<std::mutex> guard(mutex_);
    dirty_.store(true, std::memory_order_seq_cst);
    if (queue_ != nullptr) queue_->Interrupt(consumer_);
  }

 private:
  std::mutex mutex_;
  std::atomic<bool> dirty_{false};
  Queue* queue_ = nullptr;        // guarded by mutex_
  Consumer* consumer_ = nullptr;  // guarded by mutex_
};

class Sentinel {
 public:
  // Starts a detached thread that runs `entry(argument)`; returns 0 or an errno.
  using StartThread = int (*)(void (*entry)(void*), void* argument);

  // The process's own. Never destroyed: its thread runs until the process ends.
  static Sentinel* Get();

  // Pokes `gate` at each edge of the descriptor, a loop's backend, until Forget. Returns 0 or an errno.
  int Watch(int backend, Gate* gate, StartThread start);
  // No poke is under way any more when it returns.
  void Forget(int backend);

 private:
  Sentinel() = default;
  static void Run(void* self);

  std::mutex mutex_;
  Descriptor epoll_;                 // made once, under mutex_
  std::map<uint64_t, Gate*> gates_;  // guarded by mutex_
  std::map<int, uint64_t> names_;    // guarded by mutex_
  uint64_t next_name_ = 1;           // guarded by mutex_
};

}  // namespace kevent

#endif  // X_KEVENT_SENTINEL_H_
