// One registered interest, (ident, filter), and its state word.
#ifndef X_KEVENT_KNOTE_H_
#define X_KEVENT_KNOTE_H_

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <limits>

#include "kevent.h"

namespace kevent {

using Slot = uint32_t;  // index into the knote table; 0 is none

// A knote's life, in one word so that every step is one compare-and-swap:
//
//   bits 63..32  generation, raised when the knote is dropped: a name from before then matches nothing
//   bits 31..0   the bits and fields below
//
// kLocked serialises whoever reads or writes the other fields (a change, a claim); it is held across
// non-blocking system calls on the descriptor, never across a wait. An activation does not take it: it sets
// kActive, and if the knote is locked the holder of the lock queues it in Unlock.
//
// Invariant: kQueued is set if and only if the ready queue, or the hand of one thread that harvests, holds
// exactly one entry for the slot. A dropped knote that is still queued keeps its slot until that entry is
// taken. A bit of kSpilled says that the entry is this very bit, and not a cell of the ring: see ReadyQueue.
constexpr uint32_t kLocked = 1u << 0;
constexpr uint32_t kLive = 1u << 1;
constexpr uint32_t kActive = 1u << 2;
constexpr uint32_t kQueued = 1u << 3;
constexpr uint32_t kDisabled = 1u << 4;
constexpr uint32_t kForced = 1u << 5;
constexpr uint32_t kSawEof = 1u << 6;    // EPOLLRDHUP or EPOLLHUP came with an edge
constexpr uint32_t kSawError = 1u << 7;  // EPOLLERR came with an edge
constexpr uint32_t kSpilledLow = 1u << 8;
constexpr uint32_t kSpilledHigh = 1u << 9;
constexpr uint32_t kSpilled = kSpilledLow | kSpilledHigh;
constexpr uint32_t kLooksAgain = 1u << 10;  // a timer of the queue's is set for it: see Queue::LookAgain

// Fields that only the holder of kLocked changes: Source, the sticky flags, and the filter's number.
constexpr int kSourceShift = 11;
constexpr uint32_t kSourceMask = 3u << kSourceShift;
constexpr int kFlagsShift = 13;
constexpr uint32_t kFlagsMask = 0xfu << kFlagsShift;
constexpr int kStickyShift = 4;  // of kStickyFlags, four bits in a row
static_assert(kStickyFlags == 0xfu << kStickyShift);
constexpr int kFilterShift = 17;
constexpr uint32_t kFilterMask = 0x1fu << kFilterShift;

// What tells of the descriptor of a READ or WRITE knote.
enum class Source : uint32_t {
  kEpoll,
  kNever,  // READ of a descriptor that is open for writing only, or the reverse: never ready
  kFile,   // a regular file, which epoll refuses: VnodeFilter
};

struct Knote {
  std::atomic<uint64_t> state{0};
  int64_t ident = 0;
  double udata = 0;
  int64_t data = 0;     // given: low-water mark, period in ns, user data
  uint32_t fflags = 0;  // given
  // Not yet delivered. TIMER: expirations; USER: 1 when triggered; SIGNAL: signals; VNODE, FS: notes.
  // READ, WRITE, EMPTY: ms until the next look.
  uint32_t pending = 0;
  uint32_t holder = 0;  // consumer that a dispatched knote was delivered to, 0 for none
  // Of a live TIMER, or one that kLooksAgain: its place in a heap plus one, 0 when it is not armed. Of a free
  // slot: the next one of the free list.
  uint32_t link = 0;

  static uint32_t Generation(uint64_t state) { return static_cast<uint32_t>(state >> 32); }
  static int16_t Filter(uint64_t state) {
    return static_cast<int16_t>(-static_cast<int>((state & kFilterMask) >> kFilterShift));
  }
  static uint32_t FilterBits(int16_t filter) { return static_cast<uint32_t>(-filter) << kFilterShift; }
  static uint16_t Flags(uint64_t state) {
    return static_cast<uint16_t>((state & kFlagsMask) >> kFlagsShift << kStickyShift);
  }
  static uint32_t FlagsBits(uint32_t flags) { return flags >> kStickyShift << kFlagsShift; }
  static uint32_t SourceBits(Source source) { return static_cast<uint32_t>(source) << kSourceShift; }

  // Relaxed: for the holder of the lock, or as a hint.
  uint64_t Now() const { return state.load(std::memory_order_relaxed); }
  uint32_t generation() const { return Generation(Now()); }
  int16_t filter() const { return Filter(Now()); }
  uint16_t flags() const { return Flags(Now()); }
  Source source() const { return static_cast<Source>((Now() & kSourceMask) >> kSourceShift); }
  bool looks_again() const { return (Now() & kLooksAgain) != 0; }

  // Under the lock. What was counted beyond 32 bits is not lost count of: it stays at the most.
  void Count(int64_t more) {
    pending = static_cast<uint32_t>(std::min<int64_t>(pending + more, std::numeric_limits<uint32_t>::max()));
  }
  void Stick(uint16_t flag) { Update(FlagsBits(flag), 0); }

  // Acquires kLocked and clears bits in the same step; returns what the state was, with kLocked. The acquire
  // pairs with the release in Unlock: the fields are as the last holder left them.
  uint64_t Lock(uint32_t clear = 0) {
    for (int spins = 0;; spins++) {
      uint64_t seen = state.load(std::memory_order_relaxed);
      if ((seen & kLocked) == 0 &&
          state.compare_exchange_weak(seen, (seen & ~uint64_t{clear}) | kLocked, std::memory_order_acq_rel)) {
        return seen | kLocked;
      }
      if (spins > 64) sched_yield();
    }
  }

  // Under the lock: changes state bits while activations may set theirs.
  uint64_t Update(uint32_t set, uint32_t clear) {
    uint64_t seen = state.load(std::memory_order_relaxed);
    while (!state.compare_exchange_weak(seen, (seen & ~uint64_t{clear}) | set, std::memory_order_acq_rel)) {
    }
    return (seen & ~uint64_t{clear}) | set;
  }

  // Releases kLocked and changes state bits in the same step. Returns true when the knote has become due for
  // the ring: the caller must push it.
  bool Unlock(uint32_t set = 0, uint32_t clear = 0) {
    uint64_t seen = state.load(std::memory_order_relaxed);
    for (;;) {
      uint64_t next = (seen & ~uint64_t{clear | kLocked}) | set;
      const bool due = (next & (kLive | kActive | kQueued | kDisabled)) == (kLive | kActive);
      if (due) next |= kQueued;
      if (state.compare_exchange_weak(seen, next, std::memory_order_release)) return due;
    }
  }

  // Sets kActive and `more` if the knote is still of `generation`. Returns true when the caller must push it.
  // Release pairs with the acquire of the claim that will see the bits.
  bool Activate(uint32_t generation, uint32_t more) {
    uint64_t seen = state.load(std::memory_order_relaxed);
    for (;;) {
      if (Generation(seen) != generation || (seen & kLive) == 0) return false;
      const bool due = (seen & (kQueued | kDisabled | kLocked)) == 0;
      const uint64_t next = seen | kActive | more | (due ? kQueued : 0);
      if (next == seen) return false;
      if (state.compare_exchange_weak(seen, next, std::memory_order_release)) return due;
    }
  }

  // Under the lock: the name dies; whoever still knows the old generation finds nothing.
  void Drop() {
    uint64_t seen = state.load(std::memory_order_relaxed);
    uint64_t next = 0;
    do {
      const uint64_t generation = uint64_t{Generation(seen) + 1} << 32;
      next = generation | (seen & (kLocked | kQueued | kSpilled));
    } while (!state.compare_exchange_weak(seen, next, std::memory_order_acq_rel));
  }

  bool Is(int64_t wanted_ident, int16_t wanted_filter) const {
    const uint64_t seen = Now();
    return (seen & kLive) != 0 && Filter(seen) == wanted_filter && ident == wanted_ident;
  }
};
static_assert(sizeof(Knote) == 48);

}  // namespace kevent

#endif  // X_KEVENT_KNOTE_H_
