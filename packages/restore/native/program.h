#pragma once

#include <cstddef>
#include <cstdint>

// The program that the helper runs, as src/program/encode.ts writes it; src/program/op.ts says what each
// number means. Little endian, as all that this runs on. All parts start at multiples of 8.
namespace restore::program {

inline constexpr uint32_t kMagic = 0x70723178;  // "x1rp"
inline constexpr uint32_t kVersion = 1;
inline constexpr size_t kScratchSize = size_t{64} * 1024;

enum class FaultVictim : uint16_t { kNobody, kTask, kHelper, kCaller };
// Before the operation, or between its system call and what the helper does with the result.
enum class FaultMoment : uint16_t { kBefore, kWithin };

struct Header {
  uint32_t magic;
  uint32_t version;
  uint32_t task_count;  // with task 0, the helper
  uint32_t op_count;
  uint32_t slot_count;
  uint32_t undo_count;
  uint32_t reserved_count;  // 32-bit words of the set of numbers that no temporary descriptor may have
  uint32_t deadline;  // milliseconds up to the barrier, and again from the commit to the end; 0 for none
  uint64_t tasks_at;
  uint64_t ops_at;
  uint64_t undo_at;
  uint64_t reserved_at;
  uint64_t blobs_at;
  uint64_t blobs_size;
  // For tests: the task that runs operation fault_op kills somebody, and goes no further.
  uint32_t fault_op;
  FaultVictim fault_victim;
  FaultMoment fault_moment;
};
static_assert(sizeof(Header) == 88);

inline constexpr uint32_t kNoTargets = 0xffffffff;

struct Task {
  uint32_t targets_at;     // in the blobs: the numbers that sweep leaves open, u32, ascending
  uint32_t targets_count;  // kNoTargets for a task that shares the table of an earlier one: it does not sweep
  uint32_t ops_first;      // the operations of a task stand together, and in the order of the list
  uint32_t ops_count;
};
static_assert(sizeof(Task) == 16);

enum class ArgumentKind : uint8_t { kValue, kSlot, kBlob, kPid, kScratch, kPair, kPath };

enum class Code : uint16_t {
  kSyscall,
  kMove,
  kCopy,
  kDrop,
  kFetch,
  kAdopt,
  kFork,
  kWait,
  kWrite,
  kCopyFile,
  kSend,
  kOpenPtmx,
  kDeadPidfds,
  kBarrier,
  kSweep,
  kExec,
  kStore,
  kFromNow,
};

enum Flag : uint16_t {
  kOut = 1,
  kCloexec = 2,
  kCloexec2 = 4,
  kExpect = 8,
  kPost = 16,
  kUndo = 32,
};

enum ForkFlag : uint32_t { kForkFiles = 1, kForkFs = 2, kForkSibling = 4 };

inline constexpr uint32_t kNoSlot = 0xffffffff;
inline constexpr uint32_t kNoUndo = 0xffffffff;
inline constexpr uint32_t kNever = 0xffffffff;
inline constexpr int32_t kNoNumber = -1;
// Every error is tolerated.
inline constexpr uint32_t kAnyError = 0xffffffff;

struct Op {
  Code code;
  uint16_t flags;
  uint32_t task;
  uint32_t index;  // in the list
  uint32_t call;
  uint32_t out;
  uint32_t out2;
  int32_t number;
  int32_t number2;
  uint32_t tolerate;
  uint32_t undo;  // index of how it is undone
  int64_t expect;
  uint64_t mask;
  ArgumentKind kinds[8];  // two are padding
  int64_t args[6];
};
static_assert(sizeof(Op) == 112);

enum class UndoKind : uint32_t { kUnlink, kRmdir, kRename };

struct Undo {
  uint32_t op;
  UndoKind kind;
  uint64_t a;  // blobs
  uint64_t b;
  uint32_t until;  // index of the operation that takes it back itself, or kNever
  uint32_t unused;
};
static_assert(sizeof(Undo) == 32);

}  // namespace restore::program
