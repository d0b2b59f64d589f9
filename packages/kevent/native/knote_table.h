// Where knotes live and how they are found.
#ifndef X_KEVENT_KNOTE_TABLE_H_
#define X_KEVENT_KNOTE_TABLE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>

#include "knote.h"

namespace kevent {

// What a queue knows of one descriptor. READ and WRITE are knotes of their own over one epoll registration.
struct DescriptorRecord {
  enum Which { kRead = 0, kWrite = 1 };

  // Bit 0 is the lock: set while a knote of this descriptor is made or removed, held across epoll_ctl(2). The
  // others are the generation, raised with each registration in epoll: an event that carries another number
  // is stale.
  std::atomic<uint32_t> word{0};
  std::atomic<Slot> slots[2] = {0, 0};

  void Lock() {
    for (int spins = 0; !TryLock(); spins++) {
      if (spins > 64) sched_yield();
    }
  }
  bool TryLock() {
    // Acquire pairs with the release in Unlock.
    return (word.fetch_or(kLock, std::memory_order_acquire) & kLock) == 0;
  }
  void Unlock() { word.fetch_and(~kLock, std::memory_order_release); }

  // Acquire pairs with the release in Raise: who sees the number sees the knotes that it was raised for.
  uint32_t generation() const { return word.load(std::memory_order_acquire) >> 1; }
  // With the lock. Returns the new number.
  uint32_t Raise() { return (word.fetch_add(2, std::memory_order_release) + 2) >> 1; }

 private:
  static constexpr uint32_t kLock = 1;
};
static_assert(sizeof(DescriptorRecord) == 12);

class RecordGuard {
 public:
  explicit RecordGuard(DescriptorRecord* record) : record_(record) { record_->Lock(); }
  RecordGuard(const RecordGuard&) = delete;
  RecordGuard& operator=(const RecordGuard&) = delete;
  ~RecordGuard() { record_->Unlock(); }

 private:
  DescriptorRecord* const record_;
};

// Knotes in slabs that never move, so that a slot can be followed without a lock.
class KnoteTable {
 public:
  KnoteTable() = default;
  KnoteTable(const KnoteTable&) = delete;
  KnoteTable& operator=(const KnoteTable&) = delete;
  ~KnoteTable();

  // A free slot, or 0 when the table is full (ENOMEM).
  Slot Allocate();
  void Free(Slot slot);

  Knote* At(Slot slot) const {
    // Acquire pairs with the release in AddSlab.
    return &slabs_[slot / kSlabKnotes].load(std::memory_order_acquire)[slot % kSlabKnotes];
  }
  // Slots below this exist. Acquire pairs with the release in AddSlab.
  Slot limit() const { return limit_.load(std::memory_order_acquire); }

 private:
  static constexpr Slot kSlabKnotes = 1024;
  static constexpr Slot kSlabs = 2048;

  bool AddSlab();

  std::array<std::atomic<Knote*>, kSlabs> slabs_{};
  std::atomic<Slot> limit_{0};
  std::mutex mutex_;
  Slot free_ = 0;  // guarded by mutex_
};

// Descriptor number -> record, readable without a lock.
class DescriptorTable {
 public:
  DescriptorTable() = default;
  DescriptorTable(const DescriptorTable&) = delete;
  DescriptorTable& operator=(const DescriptorTable&) = delete;
  ~DescriptorTable();

  // The record, or null: never made, or the number is beyond what Linux gives out.
  DescriptorRecord* Find(int64_t descriptor) const;
  DescriptorRecord* FindOrMake(int64_t descriptor);

 private:
  static constexpr int64_t kChunkRecords = 512;
  static constexpr int64_t kChunks = 4096;  // 2 097 152 descriptors, twice the usual ceiling of RLIMIT_NOFILE

  std::array<std::atomic<DescriptorRecord*>, kChunks> chunks_{};
};

// (ident, filter) -> slot for the filters that are not descriptors. Its lock is to them what a descriptor's
// record lock is to READ and WRITE: held while a knote is made or removed; taken before a knote's own.
class NameTable {
 public:
  std::mutex& lock() { return mutex_; }

  // The rest is called with the lock held.
  Slot Find(int64_t ident, int16_t filter) const {
    const auto found = slots_.find({ident, filter});
    return found == slots_.end() ? 0 : found->second;
  }
  void Set(int64_t ident, int16_t filter, Slot slot) { slots_[{ident, filter}] = slot; }
  // Only if the name still means `slot`: a new knote may have taken it.
  void Erase(int64_t ident, int16_t filter, Slot slot) {
    const auto found = slots_.find({ident, filter});
    if (found != slots_.end() && found->second == slot) slots_.erase(found);
  }

 private:
  using Name = std::pair<int64_t, int16_t>;

  std::mutex mutex_;
  std::map<Name, Slot> slots_;
};

}  // namespace kevent

#endif  // X_KEVENT_KNOTE_TABLE_H_
