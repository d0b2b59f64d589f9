// What the helper, its tasks and the caller share while a program runs: a file in memory that all map.
// Whoever dies, what it had written stays. src/run/state.ts reads the same layout.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "futex.h"
#include "program.h"

namespace restore {

enum class FailureKind : uint32_t {
  kNone,
  kCall,        // a system call failed
  kUnexpected,  // its result is not the one that is expected
  kDied,        // a task died; detail is its signal, or 256 + its exit status
  kRollback,    // the caller asked for it
  kCallerGone,  // the caller's end of the control socket is closed
  kDeadline,
  kProgram,  // the program is damaged; detail says where (Damage)
  kHelper,   // a system call of the helper itself
};

enum class Outcome : uint32_t { kNone, kHeld, kRolledBack };

enum class UndoState : uint8_t {
  kNotBegun,
  kBegunAbsent,   // the name was not there before
  kBegunPresent,  // it was, so it is never taken away
  kDone,
  kFailed,  // nothing was made, or it has been undone
  kStuck,   // undoing failed
};

struct Failure {
  Word claimed;  // 1: somebody's; only the first failure is told
  Word kind;     // FailureKind, written last
  uint32_t task;
  uint32_t op;
  uint32_t call;
  int32_t error;
  int64_t detail;
};

struct alignas(64) SharedHeader {
  Word aborted;    // a task that is being made ends at once
  Word committed;  // what is behind the barriers may run
  Word arrived;    // tasks at their barrier, the helper's too
  Word finished;   // tasks at the end of their list, or about to execute a program
  Word decided;    // all have finished: they stay
  Word released;   // tasks that no longer depend on the helper
  int32_t helper;
  int32_t caller;
  Failure failure;
  Word outcome;
  Word pty_lock;  // opening pseudoterminals, of which the kernel numbers one after the other
  uint32_t undo_stuck;
  int32_t undo_error;
};
static_assert(sizeof(SharedHeader) == 128);

struct alignas(64) SharedTask {
  std::atomic<int32_t> pid;  // the kernel writes it while it makes the task
  Word progress;             // index in the list of the operation done last, plus one
  Word waiters;
  // A futex that the task owns and that is in its robust list: the kernel sets FUTEX_OWNER_DIED in it when
  // the task ends or executes a program, whatever ends it.
  Word life;
  uint64_t start_time;  // of a task that will execute a program, from /proc; 0 when it is not known
  uint32_t nested;      // 1: pid is a number in another namespace than the helper's
  Word released;        // 1: it no longer depends on the helper, and its end is its own
};
static_assert(sizeof(SharedTask) == 64);

using UndoByte = std::atomic<uint8_t>;
using SlotNumber = std::atomic<int32_t>;

// The parts of the mapped file.
struct SharedState {
  SharedHeader* header = nullptr;
  SharedTask* tasks = nullptr;
  UndoByte* undo = nullptr;
  SlotNumber* slots = nullptr;  // the descriptor's number plus one; 0 while the slot is empty
  size_t size = 0;

  static size_t SizeFor(const program::Header& header);
  // How many of its first bytes a task needs that only waits to be killed.
  static size_t LastingSize(const program::Header& header);
  void Lay(void* base, const program::Header& header);

  // Tells of a failure, unless there has been one.
  void Fail(FailureKind kind, uint32_t task, uint32_t op, uint32_t call, int error, int64_t detail) const;
  bool failed() const;
};

}  // namespace restore
