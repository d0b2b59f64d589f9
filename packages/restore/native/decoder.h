// Looks through a whole program before anything of it runs: every offset, index and count in it is good
// afterwards, no two tasks can wait for each other, and a slot is used only after it has been filled.
#pragma once

#include <cstddef>
#include <cstdint>

#include "program.h"

namespace restore {

// What is wrong with a program.
enum class Damage : uint32_t {
  kNone,
  kHeader,
  kParts,
  kMemory,
  kTask,
  kOrder,
  kCode,
  kArgument,
  kSlot,
  kNumber,
  kFork,
  kWait,
  kBarrier,
  kEnd,
  kUndo,
  kTargets,
};

struct TaskFacts {
  uint32_t table;    // the task whose table of descriptors it shares: itself, unless made with kForkFiles
  uint32_t barrier;  // index of its barrier plus one
  bool made;         // by an operation that stands before its own
  bool executes;     // its last operation
  bool fetched_from;
};

struct SlotFacts {
  uint32_t task;
  uint32_t filled_by;  // index of the operation, plus one
};

class Program {
 public:
  Program() = default;
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program();

  // `bytes` stay mapped, and as they are, for as long as the program is used. They start at a multiple of 8.
  Damage Decode(const void* bytes, size_t size);
  // The operation that is to blame, when it is one.
  uint32_t damaged_op() const { return index_; }

  const program::Header& header() const { return *header_; }
  const program::Task& task(uint32_t index) const { return tasks_[index]; }
  const program::Op* ops() const { return ops_; }
  // The task that runs the operation with this index.
  uint32_t task_of(uint32_t index) const { return ops_[places_[index] - 1].task; }
  const program::Undo& undo(uint32_t index) const { return undo_[index]; }
  const uint32_t* reserved() const { return reserved_; }
  const char* blob(uint64_t offset) const { return blobs_ + offset; }
  const TaskFacts& facts(uint32_t task) const { return facts_[task]; }
  const SlotFacts& slot(uint32_t index) const { return slots_[index]; }

 private:
  using Op = program::Op;

  template <typename T>
  bool Part(uint64_t at, uint64_t count, const T*& part) const;
  Damage DecodeParts(size_t size);
  Damage DecodeOrder();
  Damage DecodeTargets(const program::Task& task) const;
  Damage DecodeUndo() const;
  Damage DecodeOp(const Op& op);
  Damage DecodeArguments(const Op& op, bool& pair) const;
  Damage DecodeOutput(const Op& op, bool pair);
  Damage DecodeByCode(const Op& op);
  Damage DecodeFetch(const Op& op);
  Damage DecodeAdopt(const Op& op);
  Damage FillSlots(const Op& op, int64_t first, int64_t count);
  Damage DecodeFork(const Op& op);
  Damage DecodeWait(const Op& op) const;
  Damage DecodeSend(const Op& op) const;
  Damage DecodeBarrier(const Op& op);
  Damage DecodeExec(const Op& op);

  bool InBlobs(int64_t offset, int64_t size) const;
  bool OwnSlot(const Op& op, int64_t slot) const;
  const Op* Earlier(int64_t index) const;

  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  uint32_t index_ = 0;  // of the operation that is being looked at
  const program::Header* header_ = nullptr;
  const program::Task* tasks_ = nullptr;
  const program::Op* ops_ = nullptr;
  const program::Undo* undo_ = nullptr;
  const uint32_t* reserved_ = nullptr;
  const char* blobs_ = nullptr;
  TaskFacts* facts_ = nullptr;
  SlotFacts* slots_ = nullptr;
  uint32_t* places_ = nullptr;  // where the operation with this index is, plus one
};

}  // namespace restore
