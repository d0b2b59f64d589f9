// A process that runs its part of the program. The first one is the helper's; a child that it forks goes on
// with the same object, a copy of its own, as another task.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "decoder.h"
#include "descriptor_table.h"
#include "result.h"
#include "state.h"

namespace restore {

// What a task tells the process that watches over all, by a byte through the pipe of task 0.
inline constexpr char kAllArrived = 'r';
inline constexpr char kAllFinished = 'f';

class Task {
 public:
  // Maps the memory that all tasks inherit, each with a copy. Before the first fork, because it can fail.
  Result Prepare(const Program& program, const SharedState& state, const void* bytes, size_t size);
  // Runs the program as task 0, which has just been forked by `parent`.
  [[noreturn]] void Start(pid_t parent, int bell);

 private:
  using Op = program::Op;

  // What arguments of a system call may point to: two descriptor numbers, and names in /proc.
  struct Locals {
    int pair[2] = {-1, -1};
    char paths[6][32];
  };

  // A newborn task: its death is noticed, and it dies with its parent.
  void Begin(uint32_t index, pid_t parent);
  [[noreturn]] void Run();
  [[noreturn]] void Fail(const Op& op, const Result& result);
  void Done(const Op& op);
  void Fault(const Op& op, program::FaultMoment moment) const;

  Result Execute(const Op& op);
  Result SystemCall(const Op& op);
  Result FillPair(const Op& op, int (&pair)[2]);
  Result Fill(const Op& op, int descriptor, bool told);
  Result Move(const Op& op);
  Result Copy(const Op& op);
  Result Drop(const Op& op);
  Result Fetch(const Op& op);
  Result Adopt(const Op& op);
  Result Write(const Op& op);
  Result SendMessage(const Op& op);
  Result Store(const Op& op);
  Result FromNow(const Op& op);
  Result DeadPidfds(const Op& op);
  Result Sweep(const Op& op);

  Result Fork(const Op& op);
  Result WaitFor(const Op& op);
  Result Barrier();
  Result Exec(const Op& op);
  // All have finished, and this task does not depend on the helper any more.
  void Release();
  [[noreturn]] void Stay();
  [[noreturn]] void Conclude();
  void Ring(char what) const;

  Result Resolve(const Op& op, int argument, Locals& locals, int64_t& value);
  // Closes all descriptors but these, which are sorted.
  Result CloseOthers(const int* numbers, size_t count);
  Result NumberOf(int64_t slot, int& number) const;
  void SetSlot(uint32_t slot, int number);
  bool HasHappened(uint32_t task, uint32_t index) const;
  SharedTask& shared() const { return state_.tasks[index_]; }
  // Of the fetching of descriptors from another task: one pidfd is kept for as many as come from it in a row.
  Result PidfdOf(uint32_t task);
  void ForgetPidfd();

  const Program* program_ = nullptr;
  SharedState state_;
  const void* bytes_ = nullptr;
  size_t size_ = 0;

  uint32_t index_ = 0;
  pid_t pid_ = 0;
  pid_t parent_ = 0;
  bool nested_ = false;  // in a namespace of processes below the helper's
  int bell_ = -1;        // task 0 only
  const Op* next_ = nullptr;
  const Op* end_ = nullptr;

  DescriptorTable table_;
  // The slots as this task knows them: its own, and those of its ancestors as they were when it was made.
  int32_t* slots_ = nullptr;
  uint8_t* scratch_ = nullptr;
  uint32_t pidfd_task_ = 0;
  int pidfd_ = -1;
};

}  // namespace restore
