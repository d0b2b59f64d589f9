// A bounded queue of slots: many producers, many consumers, no lock.
#ifndef X_KEVENT_READY_RING_H_
#define X_KEVENT_READY_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "knote.h"

namespace kevent {

// A cell holds the sequence number that says whose turn it is (high half) and the slot (low half): at
// position p it is free for the producer when the number is p, and full for the consumer when it is p + 1.
class ReadyRing {
 public:
  // `capacity` is a power of two.
  explicit ReadyRing(size_t capacity) : capacity_(capacity), cells_(new std::atomic<uint64_t>[capacity]) {
    for (size_t index = 0; index < capacity; index++) {
      cells_[index].store(uint64_t{index} << 32, std::memory_order_relaxed);
    }
  }
  ReadyRing(const ReadyRing&) = delete;
  ReadyRing& operator=(const ReadyRing&) = delete;

  // False: it is full, or for a moment looks so, while a consumer is between its two steps.
  bool Push(Slot slot) {
    uint64_t position = tail_.load(std::memory_order_relaxed);
    for (;;) {
      std::atomic<uint64_t>& cell = cells_[position & (capacity_ - 1)];
      // Acquire pairs with the release in Pop: the cell's last entry was taken.
      const auto turn = static_cast<uint32_t>(cell.load(std::memory_order_acquire) >> 32);
      const auto distance = static_cast<int32_t>(turn - static_cast<uint32_t>(position));
      if (distance < 0) return false;
      if (distance > 0) {
        position = tail_.load(std::memory_order_relaxed);
      } else if (tail_.compare_exchange_weak(position, position + 1, std::memory_order_seq_cst)) {
        // Release pairs with the acquire in Pop: what was written to the knote is seen by its claimer.
        cell.store((uint64_t{static_cast<uint32_t>(position) + 1} << 32) | slot, std::memory_order_release);
        return true;
      }
    }
  }

  // False: it is empty, or for a moment looks so, while a producer is between its two steps.
  bool Pop(Slot* slot) {
    uint64_t position = head_.load(std::memory_order_relaxed);
    for (;;) {
      std::atomic<uint64_t>& cell = cells_[position & (capacity_ - 1)];
      const uint64_t seen = cell.load(std::memory_order_acquire);  // pairs with the release in Push
      const auto turn = static_cast<uint32_t>(seen >> 32);
      const auto distance = static_cast<int32_t>(turn - (static_cast<uint32_t>(position) + 1));
      if (distance < 0) return false;
      if (distance > 0) {
        position = head_.load(std::memory_order_relaxed);
      } else if (head_.compare_exchange_weak(position, position + 1, std::memory_order_seq_cst)) {
        *slot = static_cast<Slot>(seen);
        const auto next_turn = static_cast<uint32_t>(position + capacity_);
        cell.store(uint64_t{next_turn} << 32, std::memory_order_release);  // pairs with Push's acquire
        return true;
      }
    }
  }

  // Entries at some moment during the call. Sequentially consistent: see sleepers_ in queue.h.
  size_t Size() const {
    // head first: a tail read later is never behind it.
    const uint64_t taken = head_.load(std::memory_order_seq_cst);
    return static_cast<size_t>(tail_.load(std::memory_order_seq_cst) - taken);
  }

 private:
  const size_t capacity_;
  const std::unique_ptr<std::atomic<uint64_t>[]> cells_;
  // Apart, so that producers and consumers do not fight for one cache line. By padding: an aligned new needs
  // a newer C++ runtime than Node does.
  char apart_[64];
  std::atomic<uint64_t> tail_{0};
  char far_[64];
  std::atomic<uint64_t> head_{0};
  char farther_[64];
};

}  // namespace kevent

#endif  // X_KEVENT_READY_RING_H_
