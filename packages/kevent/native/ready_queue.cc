#include "ready_queue.h"

namespace kevent {

void ReadyQueue::Spill(Slot slot) {
  // Counted first, so that the count is never less than the bits: a sweep that finds no bit yet is followed
  // by another, and no thread goes to sleep meanwhile.
  uint64_t tides = tides_.load(std::memory_order_relaxed);
  while (!tides_.compare_exchange_weak(tides, tides + One(Rises(tides)), std::memory_order_seq_cst)) {
  }
  // Release pairs with the acquire in Sweep, and by way of the ring with the claim.
  knotes_->At(slot)->state.fetch_or(Bit(Rises(tides)), std::memory_order_release);
}

// Fills the ring from the falling tide, each time from where the last sweep ended.
void ReadyQueue::Sweep() {
  // Acquire pairs with the release below: next_ is as the last sweep left it.
  if (sweeping_.exchange(true, std::memory_order_acquire)) return;
  const int falls = 1 - Rises(tides_.load(std::memory_order_seq_cst));
  const Slot limit = knotes_->limit();
  for (Slot looked = 0; looked < limit; looked++) {
    // The tides turn when this one has run out.
    const uint64_t tides = tides_.load(std::memory_order_seq_cst);
    if (Rises(tides) == falls || Count(tides, falls) == 0) break;
    const Slot slot = next_ < limit ? next_ : 0;
    Knote* knote = knotes_->At(slot);
    if ((knote->Now() & Bit(falls)) != 0) {
      knote->state.fetch_and(~uint64_t{Bit(falls)}, std::memory_order_acq_rel);
      if (!ring_.Push(slot)) {
        knote->state.fetch_or(Bit(falls), std::memory_order_release);
        break;
      }
      tides_.fetch_sub(One(falls), std::memory_order_seq_cst);
    }
    next_ = slot + 1;
  }
  sweeping_.store(false, std::memory_order_release);
}

}  // namespace kevent
