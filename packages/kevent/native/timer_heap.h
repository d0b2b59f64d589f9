// All timers of one queue on one clock, over one timerfd.
#ifndef X_KEVENT_TIMER_HEAP_H_
#define X_KEVENT_TIMER_HEAP_H_

#include <cstdint>
#include <ctime>
#include <mutex>
#include <vector>

#include "descriptor.h"
#include "knote.h"

namespace kevent {

class TimerHeap {
 public:
  struct Timer {
    int64_t deadline;  // ns on the heap's clock
    Slot slot;
    uint32_t generation;
    Knote* knote;
  };

  explicit TimerHeap(clockid_t clock) : clock_(clock) {}

  // Makes the timerfd if there is none. Returns 0 or an errno; `made` tells that it is new.
  int Open(bool* made);
  int descriptor() const { return descriptor_.get(); }

  int64_t Now() const;
  // (Re)arms the timer of a locked knote. Lock order: knote, then heap.
  void Arm(Knote* knote, Slot slot, int64_t deadline);
  void Disarm(Knote* knote);
  // Moves what is due out of the heap, to be counted by the caller under each knote's lock.
  void TakeDue(std::vector<Timer>* due);

 private:
  void Place(size_t index, const Timer& timer);
  void SiftUp(size_t index, const Timer& timer);
  void SiftDown(size_t index, const Timer& timer);
  void Remove(size_t index);
  void SetDescriptor();

  const clockid_t clock_;
  std::mutex mutex_;
  Descriptor descriptor_;    // guarded by mutex_ while it is made, constant from then on
  std::vector<Timer> heap_;  // guarded by mutex_, as is link of every knote in it
  int64_t armed_ = 0;        // guarded by mutex_: the deadline that the timerfd has, 0 for none
};

}  // namespace kevent

#endif  // X_KEVENT_TIMER_HEAP_H_
