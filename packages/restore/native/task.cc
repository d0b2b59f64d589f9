#include "task.h"

#include <linux/sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "signals.h"

namespace restore {
namespace {

constexpr int kFailureStatus = 1;

// The kernel's struct robust_list_head, and the one lock in it: SharedTask::life.
struct LifeList {
  struct Entry {
    Entry* next;
  };
  Entry head;
  long offset;
  Entry* pending;
  Entry entry;
};
LifeList life_list;

// From now on the kernel sets FUTEX_OWNER_DIED in the word when this task ends, or executes a program, and
// wakes one who waits for that. It does so only in a word that has the task's own number.
void OwnLife(Word& life) {
  life_list.head.next = &life_list.entry;
  life_list.entry.next = &life_list.head;
  life_list.pending = nullptr;
  life_list.offset = reinterpret_cast<char*>(&life) - reinterpret_cast<char*>(&life_list.entry);
  const auto thread = static_cast<uint32_t>(syscall(SYS_gettid));
  life.store(thread | FUTEX_WAITERS, std::memory_order_release);
  syscall(SYS_set_robust_list, &life_list, offsetof(LifeList, entry));
}

void* MapPrivate(size_t size) {
  return mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

}  // namespace

Result Task::Prepare(const Program& program, const SharedState& state, const void* bytes, size_t size) {
  program_ = &program;
  state_ = state;
  bytes_ = bytes;
  size_ = size;
  const program::Header& header = program.header();
  table_ = DescriptorTable(NumberSet(program.reserved(), header.reserved_count));
  void* slots = MapPrivate(sizeof(int32_t) * (size_t{header.slot_count} + 1));
  void* scratch = MapPrivate(program::kScratchSize);
  if (slots == MAP_FAILED || scratch == MAP_FAILED) return Result::Failed(SYS_mmap, errno);
  slots_ = static_cast<int32_t*>(slots);
  scratch_ = static_cast<uint8_t*>(scratch);
  return {};
}

void Task::Start(pid_t parent, int bell) {
  bell_ = bell;
  WatchChildren(state_, program_->header().task_count);
  Begin(0, parent);
  Run();
}

void Task::Begin(uint32_t index, pid_t parent) {
  index_ = index;
  parent_ = parent;
  pid_ = getpid();
  OwnLife(shared().life);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  // The kernel has written the number that the parent sees. In a namespace of its own a task has another, and
  // what it forks has numbers that mean nothing to the helper.
  if (nested_) shared().nested = 1;
  if (shared().pid.load(std::memory_order_relaxed) != pid_) nested_ = true;
  // A parent that died before the prctl(2) is not noticed by it. One outside of the namespace is 0. The
  // acquire pairs with the helper's release: when it kills all, it may not know of this task yet.
  const pid_t now = getppid();
  if ((now != parent && now != 0) || state_.header->aborted.load(std::memory_order_acquire) != 0) {
    _exit(kFailureStatus);
  }
  if (program_->facts(index).fetched_from) {
    // What pidfd_getfd(2) asks for: without these it works only for a process with CAP_SYS_PTRACE. EINVAL: no
    // Yama.
    prctl(PR_SET_DUMPABLE, 1);
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
  }
  const program::Task& task = program_->task(index);
  next_ = program_->ops() + task.ops_first;
  end_ = next_ + task.ops_count;
}

void Task::Run() {
  while (next_ != end_) {
    const Op& op = *next_++;
    Fault(op, program::FaultMoment::kBefore);
    const Result result = Execute(op);
    if (!result.ok()) Fail(op, result);
    // A child is here, too, after a fork: as another task.
    if (op.task != index_) continue;
    if (op.code != program::Code::kSyscall) Fault(op, program::FaultMoment::kWithin);
    Done(op);
  }
  if (index_ == 0) Conclude();
  ForgetPidfd();
  CountTo(state_.header->finished, program_->header().task_count);
  WaitForAtLeast(state_.header->decided, 1);
  Release();
  Stay();
}

void Task::Fail(const Op& op, const Result& result) {
  // What fails because of another task's death is not to blame. The parent of that one tells of it, and this
  // task is killed.
  if (state_.header->decided.load(std::memory_order_relaxed) == 0) {
    for (uint32_t task = 0; task < program_->header().task_count; task++) {
      while ((state_.tasks[task].life.load(std::memory_order_relaxed) & FUTEX_OWNER_DIED) != 0) pause();
    }
  }
  const FailureKind kind = result.unexpected ? FailureKind::kUnexpected : FailureKind::kCall;
  state_.Fail(kind, index_, op.index, result.call, result.error, result.detail);
  // Its parent learns of it by SIGCHLD, task 0's by the end of the bell.
  _exit(kFailureStatus);
}

void Task::Done(const Op& op) {
  Word& progress = shared().progress;
  if ((op.flags & program::kPost) == 0) {
    progress.store(op.index + 1, std::memory_order_release);
    return;
  }
  // Both sequentially consistent, and so are those of WaitFor(): either this sees the waiter, or it sees the
  // progress.
  progress.store(op.index + 1, std::memory_order_seq_cst);
  if (shared().waiters.load(std::memory_order_seq_cst) != 0) FutexWake(progress);
}

void Task::Fault(const Op& op, program::FaultMoment moment) const {
  const program::Header& header = program_->header();
  if (header.fault_victim == program::FaultVictim::kNobody) return;
  if (header.fault_op != op.index || header.fault_moment != moment) return;
  pid_t victim = getpid();
  if (header.fault_victim == program::FaultVictim::kHelper) victim = state_.header->helper;
  if (header.fault_victim == program::FaultVictim::kCaller) victim = state_.header->caller;
  kill(victim, SIGKILL);
  for (;;) pause();
}

bool Task::HasHappened(uint32_t task, uint32_t index) const {
  // Pairs with the release in Done(): what the other did is seen.
  return state_.tasks[task].progress.load(std::memory_order_acquire) > index;
}

Result Task::WaitFor(const Op& op) {
  SharedTask& other = state_.tasks[op.args[0]];
  const auto least = static_cast<uint32_t>(op.args[1]) + 1;
  if (HasHappened(static_cast<uint32_t>(op.args[0]), least - 1)) return {};
  // See Done() for the order.
  other.waiters.fetch_add(1, std::memory_order_seq_cst);
  for (;;) {
    const uint32_t seen = other.progress.load(std::memory_order_seq_cst);
    if (seen >= least) break;
    FutexWait(other.progress, seen);
  }
  other.waiters.fetch_sub(1, std::memory_order_relaxed);
  return {};
}

Result Task::Fork(const Op& op) {
  ForgetPidfd();
  const auto child = static_cast<uint32_t>(op.args[0]);
  const bool files = (op.args[1] & program::kForkFiles) != 0;
  const bool sibling = (op.args[1] & program::kForkSibling) != 0;
  auto wanted = static_cast<pid_t>(op.args[2]);
  clone_args arguments{};
  arguments.flags = CLONE_PARENT_SETTID | (files ? CLONE_FILES : 0) |
                    ((op.args[1] & program::kForkFs) != 0 ? CLONE_FS : 0) | (sibling ? CLONE_PARENT : 0);
  // Written by the kernel before the child runs: nobody is ever there without its number being known.
  arguments.parent_tid = reinterpret_cast<uintptr_t>(&state_.tasks[child].pid);
  // A sibling has that of the forking task.
  arguments.exit_signal = sibling ? 0 : SIGCHLD;
  if (wanted != 0) {
    arguments.set_tid = reinterpret_cast<uintptr_t>(&wanted);
    arguments.set_tid_size = 1;
  }
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return Result::Failed(SYS_clone3, errno, wanted);
  if (pid > 0) return {};
  if (!files && bell_ >= 0) (void)close(bell_);
  bell_ = -1;
  // Zeros again, whatever the parent left there.
  if (madvise(scratch_, program::kScratchSize, MADV_DONTNEED) != 0) _exit(kFailureStatus);
  Begin(child, sibling ? parent_ : pid_);
  return {};
}

Result Task::Barrier() {
  SharedHeader& header = *state_.header;
  const uint32_t all = program_->header().task_count;
  CountTo(header.arrived, all);
  if (index_ == 0) {
    WaitForAtLeast(header.arrived, all);
    Ring(kAllArrived);
  }
  WaitForAtLeast(header.committed, 1);
  return {};
}

void Task::Release() {
  UnwatchChildren();
  prctl(PR_SET_PDEATHSIG, 0);
  if (program_->facts(index_).fetched_from) prctl(PR_SET_PTRACER, 0);
  // Pairs with OnChild's: who sees its end sees this.
  shared().released.store(1, std::memory_order_release);
  CountTo(state_.header->released, program_->header().task_count - 1);
}

// A task without a program keeps its descriptors until it is killed. It keeps the words that tell that it
// lives, too; the rest of what it had mapped would be memory for nothing.
void Task::Stay() {
  const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  const size_t lasting = (SharedState::LastingSize(program_->header()) + page - 1) / page * page;
  if (lasting < state_.size) {
    munmap(reinterpret_cast<char*>(state_.header) + lasting, state_.size - lasting);
  }
  munmap(slots_, sizeof(int32_t) * (size_t{program_->header().slot_count} + 1));
  munmap(scratch_, program::kScratchSize);
  munmap(const_cast<void*>(bytes_), size_);
  for (;;) pause();
}

// Task 0 is not one that stays: it looks that all others do.
void Task::Conclude() {
  SharedHeader& header = *state_.header;
  const uint32_t all = program_->header().task_count;
  CountTo(header.finished, all);
  WaitForAtLeast(header.finished, all);
  RaiseAndWake(header.decided);
  WaitForAtLeast(header.released, all - 1);
  for (uint32_t task = 1; task < all; task++) {
    if (!program_->facts(task).executes) continue;
    Word& life = state_.tasks[task].life;
    // Either the program runs, or the task has told why not before it ended.
    for (;;) {
      const uint32_t seen = life.load(std::memory_order_acquire);
      if ((seen & FUTEX_OWNER_DIED) != 0) break;
      FutexWait(life, seen);
    }
  }
  if (state_.failed()) _exit(kFailureStatus);
  Ring(kAllFinished);
  _exit(0);
}

void Task::Ring(char what) const {
  while (write(bell_, &what, 1) < 0) {
    if (errno != EINTR) _exit(kFailureStatus);
  }
}

Result Task::Exec(const Op& op) {
  char* lists[2];
  int counts[2] = {0, 0};
  for (int i = 0; i < 2; i++) {
    lists[i] = const_cast<char*>(program_->blob(static_cast<uint64_t>(op.args[1 + i])));
    for (const char* string = lists[i]; *string != '\0'; string += __builtin_strlen(string) + 1) counts[i]++;
  }
  const size_t pointers = static_cast<size_t>(counts[0]) + static_cast<size_t>(counts[1]) + 2;
  void* room = MapPrivate(sizeof(char*) * pointers);
  if (room == MAP_FAILED) return Result::Failed(SYS_mmap, errno);
  auto** next = static_cast<char**>(room);
  char** vectors[2];
  for (int i = 0; i < 2; i++) {
    vectors[i] = next;
    for (char* string = lists[i]; *string != '\0'; string += __builtin_strlen(string) + 1) *next++ = string;
    *next++ = nullptr;
  }
  ForgetPidfd();
  CountTo(state_.header->finished, program_->header().task_count);
  WaitForAtLeast(state_.header->decided, 1);
  Release();
  // A program may be over at once, and would take those children with it that still die with their parent.
  WaitForAtLeast(state_.header->released, program_->header().task_count - 1);
  execve(program_->blob(static_cast<uint64_t>(op.args[0])), vectors[0], vectors[1]);
  return Result::Failed(SYS_execve, errno);
}

}  // namespace restore
