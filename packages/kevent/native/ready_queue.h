// The queue of knotes that are due.
#ifndef X_KEVENT_READY_QUEUE_H_
#define X_KEVENT_READY_QUEUE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "knote_table.h"
#include "ready_ring.h"

namespace kevent {

// A ring of fixed size, and for what does not fit into it a bit in each knote: so it has room for every knote
// and costs none of them memory, and a push never allocates and never fails.
//
// From the first spilled knote on, all that come later spill as well, until none is spilled. They are of two
// tides: new ones join the rising tide; from the falling one, sweeps over the table fill the ring whenever it
// is empty; when the falling one has run out, the two change roles. So whatever is spilled comes before
// whatever spills after it is swept, and a pass meets nothing twice. A sweep costs the table's length, once
// for as many knotes as the ring has cells.
class ReadyQueue {
 public:
  static constexpr size_t kCells = 4096;

  explicit ReadyQueue(KnoteTable* knotes, size_t cells = kCells) : knotes_(knotes), ring_(cells) {}
  ReadyQueue(const ReadyQueue&) = delete;
  ReadyQueue& operator=(const ReadyQueue&) = delete;

  // Of a knote whose kQueued the caller has set.
  void Push(Slot slot) {
    // Sequentially consistent, as all that Size reads: see sleepers_ in queue.h.
    if (Spilled(tides_.load(std::memory_order_seq_cst)) == 0 && ring_.Push(slot)) return;
    Spill(slot);
  }

  // False: there is none, or for a moment it looks so, while another thread sweeps.
  bool Pop(Slot* slot) {
    if (ring_.Pop(slot)) return true;
    if (Falling(tides_.load(std::memory_order_seq_cst)) == 0) return false;
    Sweep();
    return ring_.Pop(slot);
  }

  // Begins a pass, and tells how many it may pop: what is pushed from now on comes behind them.
  size_t Pass() {
    uint64_t tides = tides_.load(std::memory_order_seq_cst);
    while (Spilled(tides) != 0 && Falling(tides) == 0) {
      const uint64_t turned = tides ^ kTurned;
      if (tides_.compare_exchange_weak(tides, turned, std::memory_order_seq_cst)) tides = turned;
    }
    return ring_.Size() + Falling(tides);
  }

  // Entries at some moment during the call.
  size_t Size() const { return ring_.Size() + Spilled(tides_.load(std::memory_order_seq_cst)); }

 private:
  // Of tides_: how many knotes have, or are about to have, kSpilledLow (bits 30..0) and kSpilledHigh (bits
  // 61..31), and which of the two rises.
  static constexpr int kCountBits = 31;
  static constexpr uint64_t kCountMask = (uint64_t{1} << kCountBits) - 1;
  static constexpr uint64_t kTurned = uint64_t{1} << 63;

  static int Rises(uint64_t tides) { return (tides & kTurned) != 0 ? 1 : 0; }
  static size_t Count(uint64_t tides, int tide) { return (tides >> (tide * kCountBits)) & kCountMask; }
  static size_t Spilled(uint64_t tides) { return Count(tides, 0) + Count(tides, 1); }
  static size_t Falling(uint64_t tides) { return Count(tides, 1 - Rises(tides)); }
  static uint64_t One(int tide) { return uint64_t{1} << (tide * kCountBits); }
  static uint32_t Bit(int tide) { return tide == 0 ? kSpilledLow : kSpilledHigh; }

  void Spill(Slot slot);
  void Sweep();

  KnoteTable* const knotes_;
  ReadyRing ring_;
  std::atomic<uint64_t> tides_{0};
  std::atomic<bool> sweeping_{false};
  Slot next_ = 0;  // of the thread that has set sweeping_: where its sweep begins
};

}  // namespace kevent

#endif  // X_KEVENT_READY_QUEUE_H_
