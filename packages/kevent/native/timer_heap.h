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
    uint32_t receipt;  // of one that was taken: what its knote's link is until it is set anew
    Knote* knote;
  };

  explicit TimerHeap(clockid_t clock) : clock_(clock) {}

  // Makes the timerfd and registers it in `epoll`, unless that is done. Returns 0 or an errno.
  int Open(int epoll, uint64_t tag);

  int64_t Now() const;
  // (Re)arms the timer of a locked knote. Lock order: knote, then heap.
  void Arm(Knote* knote, Slot slot, int64_t deadline);
  void Disarm(Knote* knote);
  // Moves what is due out of the heap, to be counted by the caller under each knote's lock: if Settle says
  // so.
  void TakeDue(std::vector<Timer>* due);
  // Of a locked knote: false when it was set anew, or dropped, since it was taken.
  bool Settle(const Timer& timer);

 private:
  void Place(size_t index, const Timer& timer);
  void SiftUp(size_t index, const Timer& timer);
  void SiftDown(size_t index, const Timer& timer);
  void Remove(size_t index);
  void SetDescriptor();

  const clockid_t clock_;
  std::mutex mutex_;
  Descriptor descriptor_;    // guarded by mutex_
  std::vector<Timer> heap_;  // guarded by mutex_, as is link of every knote that is in it or was taken
  uint32_t receipts_ = 0;    // guarded by mutex_
  int64_t armed_ = 0;        // guarded by mutex_: the deadline that the timerfd has, 0 for none
};

}  // namespace kevent

#endif  // X_KEVENT_TIMER_HEAP_H_
