// The queue of knotes that are due: bounded, many producers, many consumers, no lock.
#ifndef X_KEVENT_READY_RING_H_
#define X_KEVENT_READY_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "knote.h"

namespace kevent {

// A knote is in the ring at most once, so that a ring with room for every knote is never full. Room grows by
// adding a segment of twice the size: producers move on to the newest, consumers empty the oldest first.
//
// A cell holds the sequence number that says whose turn it is (high half) and the slot (low half): at
// position p it is free for the producer when the number is p, and full for the consumer when it is p + 1.
class ReadyRing {
 public:
  ReadyRing() { Reserve(kFirstCapacity); }
  ReadyRing(const ReadyRing&) = delete;
  ReadyRing& operator=(const ReadyRing&) = delete;

  // Makes room for `knotes` entries. One caller at a time; before the knote that needs it can be pushed.
  void Reserve(size_t knotes) {
    int count = segment_count_.load(std::memory_order_relaxed);
    if (count > 0 && segments_[count - 1]->capacity >= knotes) return;
    segments_[count] = std::make_unique<Segment>(kFirstCapacity << count);
    // Pairs with the loads in Push, Pop and Size: the segment is whole before it is seen. Sequentially
    // consistent as Size is: a sleeper does not miss a push into a segment that is new.
    segment_count_.store(count + 1, std::memory_order_seq_cst);
  }

  void Push(Slot slot) {
    for (;;) {
      const int count = segment_count_.load(std::memory_order_acquire);
      if (segments_[count - 1]->Push(slot)) return;
      // Full only for a moment: a stale view of the newest segment, or a consumer between its two steps.
      sched_yield();
    }
  }

  bool Pop(Slot* slot) {
    const int count = segment_count_.load(std::memory_order_acquire);
    for (int index = 0; index < count; index++) {
      if (segments_[index]->Pop(slot)) return true;
    }
    return false;
  }

  // Entries at some moment during the call. Sequentially consistent: see sleepers_ in queue.h.
  size_t Size() const {
    const int count = segment_count_.load(std::memory_order_seq_cst);
    size_t size = 0;
    for (int index = 0; index < count; index++) size += segments_[index]->Size();
    return size;
  }

 private:
  static constexpr size_t kFirstCapacity = 1024;
  static constexpr int kSegments = 16;

  struct Segment {
    explicit Segment(size_t size) : capacity(size), cells(new std::atomic<uint64_t>[size]) {
      for (size_t index = 0; index < size; index++) {
        cells[index].store(uint64_t{index} << 32, std::memory_order_relaxed);
      }
    }

    bool Push(Slot slot) {
      uint64_t position = tail.load(std::memory_order_relaxed);
      for (;;) {
        std::atomic<uint64_t>& cell = cells[position & (capacity - 1)];
        // Acquire pairs with the release in Pop: the cell's last entry was taken.
        const auto turn = static_cast<uint32_t>(cell.load(std::memory_order_acquire) >> 32);
        const auto distance = static_cast<int32_t>(turn - static_cast<uint32_t>(position));
        if (distance < 0) return false;
        if (distance > 0) {
          position = tail.load(std::memory_order_relaxed);
        } else if (tail.compare_exchange_weak(position, position + 1, std::memory_order_seq_cst)) {
          // Release pairs with the acquire in Pop: what was written to the knote is seen by its claimer.
          cell.store((uint64_t{static_cast<uint32_t>(position) + 1} << 32) | slot, std::memory_order_release);
          return true;
        }
      }
    }

    bool Pop(Slot* slot) {
      uint64_t position = head.load(std::memory_order_relaxed);
      for (;;) {
        std::atomic<uint64_t>& cell = cells[position & (capacity - 1)];
        const uint64_t seen = cell.load(std::memory_order_acquire);  // pairs with the release in Push
        const auto turn = static_cast<uint32_t>(seen >> 32);
        const auto distance = static_cast<int32_t>(turn - (static_cast<uint32_t>(position) + 1));
        if (distance < 0) return false;
        if (distance > 0) {
          position = head.load(std::memory_order_relaxed);
        } else if (head.compare_exchange_weak(position, position + 1, std::memory_order_seq_cst)) {
          *slot = static_cast<Slot>(seen);
          const auto next_turn = static_cast<uint32_t>(position + capacity);
          cell.store(uint64_t{next_turn} << 32, std::memory_order_release);  // pairs with Push's acquire
          return true;
        }
      }
    }

    size_t Size() const {
      // head first: a tail read later is never behind it.
      const uint64_t taken = head.load(std::memory_order_seq_cst);
      return static_cast<size_t>(tail.load(std::memory_order_seq_cst) - taken);
    }

    const size_t capacity;
    const std::unique_ptr<std::atomic<uint64_t>[]> cells;
    // Apart, so that producers and consumers do not fight for one cache line. By padding: an aligned new
    // needs a newer C++ runtime than Node does.
    char apart_[64];
    std::atomic<uint64_t> tail{0};
    char far_[64];
    std::atomic<uint64_t> head{0};
  };

  std::unique_ptr<Segment> segments_[kSegments];
  std::atomic<int> segment_count_{0};
};

}  // namespace kevent

#endif  // X_KEVENT_READY_RING_H_
