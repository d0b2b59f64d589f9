#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "makers.h"
#include "task.h"
#include "transfer.h"
#include "undo.h"

namespace restore {
namespace {

using program::ArgumentKind;
using program::Code;
using program::kNoSlot;

constexpr uint32_t kMostRights = 253;

// The calls that could be told of FD_CLOEXEC, so that a descriptor that has its number already needs nothing
// more.
bool TakesCloexec(uint32_t call) {
  switch (call) {
    case SYS_openat:
    case SYS_socket:
    case SYS_accept4:
    case SYS_eventfd2:
    case SYS_signalfd4:
    case SYS_timerfd_create:
    case SYS_epoll_create1:
    case SYS_inotify_init1:
    case SYS_memfd_create:
      return true;
    default:
      return false;
  }
}

// A change of these makes the kernel forget the signal that comes with the parent's death, and who may fetch
// descriptors.
bool ChangesCredentials(uint32_t call) {
  switch (call) {
    case SYS_setuid:
    case SYS_setgid:
    case SYS_setreuid:
    case SYS_setregid:
    case SYS_setresuid:
    case SYS_setresgid:
    case SYS_setfsuid:
    case SYS_setfsgid:
    case SYS_capset:
      return true;
    default:
      return false;
  }
}

// close(2) has freed the number even so.
bool Restarts(uint32_t call) {
  return call != SYS_close;
}

}  // namespace

Result Task::Execute(const Op& op) {
  switch (op.code) {
    case Code::kSyscall:
      return SystemCall(op);
    case Code::kMove:
      return Move(op);
    case Code::kCopy:
      return Copy(op);
    case Code::kDrop:
      return Drop(op);
    case Code::kFetch:
      return Fetch(op);
    case Code::kAdopt:
      return Adopt(op);
    case Code::kFork:
      return Fork(op);
    case Code::kWait:
      return WaitFor(op);
    case Code::kWrite:
    case Code::kCopyFile:
      return Write(op);
    case Code::kSend:
      return SendMessage(op);
    case Code::kOpenPtmx: {
      int master = -1;
      const Result result = OpenPtmx(program_->blob(static_cast<uint64_t>(op.args[2])), op.args[0],
                                     static_cast<int>(op.args[1]), state_.header->pty_lock, master);
      return result.ok() ? Fill(op, master, true) : result;
    }
    case Code::kDeadPidfds:
      return DeadPidfds(op);
    case Code::kBarrier:
      return Barrier();
    case Code::kSweep:
      return Sweep(op);
    case Code::kExec:
      return Exec(op);
    case Code::kStore:
      return Store(op);
    case Code::kFromNow:
      return FromNow(op);
  }
  return Result::Failed(0, ENOSYS);
}

Result Task::Resolve(const Op& op, int argument, Locals& locals, int64_t& value) {
  value = op.args[argument];
  switch (op.kinds[argument]) {
    case ArgumentKind::kValue:
      return {};
    case ArgumentKind::kSlot: {
      int number = -1;
      const Result result = NumberOf(value, number);
      value = number;
      return result;
    }
    case ArgumentKind::kBlob:
      value = reinterpret_cast<int64_t>(program_->blob(static_cast<uint64_t>(value)));
      return {};
    case ArgumentKind::kPid:
      value = state_.tasks[value].pid.load(std::memory_order_acquire);
      return value == 0 ? Result::Failed(op.call, ESRCH) : Result{};
    case ArgumentKind::kScratch:
      value = reinterpret_cast<int64_t>(scratch_ + value);
      return {};
    case ArgumentKind::kPair:
      value = reinterpret_cast<int64_t>(locals.pair);
      return {};
    case ArgumentKind::kPath: {
      int number = -1;
      const Result result = NumberOf(value, number);
      char* const path = locals.paths[argument];
      (void)snprintf(path, sizeof locals.paths[argument], "/proc/self/fd/%d", number);
      value = reinterpret_cast<int64_t>(path);
      return result;
    }
  }
  return Result::Failed(op.call, EINVAL);
}

Result Task::NumberOf(int64_t slot, int& number) const {
  number = slots_[slot] - 1;
  return number >= 0 ? Result{} : Result::Failed(0, EBADF);
}

void Task::SetSlot(uint32_t slot, int number) {
  slots_[slot] = number + 1;
  // What other tasks see of it they see by the progress, which follows.
  state_.slots[slot].store(number + 1, std::memory_order_relaxed);
}

Result Task::SystemCall(const Op& op) {
  Locals locals;
  int64_t args[6];
  for (int i = 0; i < 6; i++) {
    const Result result = Resolve(op, i, locals, args[i]);
    if (!result.ok()) return result;
  }
  const bool undo = (op.flags & program::kUndo) != 0;
  if (undo) NoteBegun(*program_, state_, op.undo);
  long value;
  do {
    value = syscall(op.call, args[0], args[1], args[2], args[3], args[4], args[5]);
  } while (value == -1 && errno == EINTR && Restarts(op.call));
  const int error = value == -1 ? errno : 0;
  Fault(op, program::FaultMoment::kWithin);
  if (undo) error == 0 ? NoteDone(state_, op.undo) : NoteFailed(state_, op.undo);
  if (error != 0 && (op.tolerate == program::kAnyError || static_cast<uint32_t>(error) == op.tolerate))
    return {};
  if (error != 0) return Result::Failed(op.call, error, op.number);
  if (ChangesCredentials(op.call)) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (program_->facts(index_).fetched_from) prctl(PR_SET_DUMPABLE, 1);
  }
  if ((op.flags & program::kExpect) != 0 &&
      (static_cast<uint64_t>(value) & op.mask) != static_cast<uint64_t>(op.expect)) {
    return {.call = op.call, .detail = value, .unexpected = true};
  }
  if ((op.flags & program::kOut) == 0) return {};
  return op.out2 != kNoSlot ? FillPair(op, locals.pair)
                            : Fill(op, static_cast<int>(value), TakesCloexec(op.call));
}

Result Task::FillPair(const Op& op, int (&pair)[2]) {
  const int numbers[2] = {op.number, op.number2};
  const bool cloexec[2] = {(op.flags & program::kCloexec) != 0, (op.flags & program::kCloexec2) != 0};
  const Result result = table_.MovePair(pair, numbers, cloexec);
  if (!result.ok()) return result;
  SetSlot(op.out, pair[0]);
  SetSlot(op.out2, pair[1]);
  return {};
}

// `told`: the call that made the descriptor has set FD_CLOEXEC as it has to be.
Result Task::Fill(const Op& op, int descriptor, bool told) {
  Result result;
  if (op.number < 0) {
    result = table_.OutOfTheWay(descriptor);
  } else if (descriptor != op.number || !told) {
    result = table_.Settle(descriptor, op.number, (op.flags & program::kCloexec) != 0);
  }
  if (result.ok()) SetSlot(op.out, descriptor);
  return result;
}

Result Task::Move(const Op& op) {
  int number = -1;
  Result result = NumberOf(op.args[0], number);
  if (!result.ok()) return result;
  result = table_.Settle(number, static_cast<int>(op.args[1]), op.args[2] != 0);
  if (result.ok()) SetSlot(static_cast<uint32_t>(op.args[0]), number);
  return result;
}

Result Task::Copy(const Op& op) {
  int number = -1;
  Result result = NumberOf(op.args[0], number);
  if (!result.ok()) return result;
  const int target = static_cast<int>(op.args[1]);
  result = table_.Copy(number, target, op.args[2] != 0);
  if (result.ok() && (op.flags & program::kOut) != 0) SetSlot(op.out, target);
  return result;
}

Result Task::Drop(const Op& op) {
  int number = -1;
  Result result = NumberOf(op.args[0], number);
  if (!result.ok()) return result;
  result = table_.Drop(number);
  SetSlot(static_cast<uint32_t>(op.args[0]), -1);
  return result;
}

Result Task::PidfdOf(uint32_t task) {
  if (pidfd_ >= 0 && pidfd_task_ == task) return {};
  ForgetPidfd();
  const pid_t pid = state_.tasks[task].pid.load(std::memory_order_acquire);
  const long opened = syscall(SYS_pidfd_open, pid, 0);
  if (opened < 0) return Result::Failed(SYS_pidfd_open, errno);
  pidfd_ = static_cast<int>(opened);
  pidfd_task_ = task;
  return table_.OutOfTheWay(pidfd_);
}

void Task::ForgetPidfd() {
  if (pidfd_ < 0) return;
  (void)table_.Drop(pidfd_);
  pidfd_ = -1;
}

Result Task::Fetch(const Op& op) {
  const auto task = static_cast<uint32_t>(op.args[0]);
  // A plan that does not wait for the filling would work sometimes.
  if (!HasHappened(task, program_->slot(static_cast<uint32_t>(op.args[1])).filled_by - 1)) {
    return Result::Failed(SYS_pidfd_getfd, EPROTO);
  }
  const int number = state_.slots[op.args[1]].load(std::memory_order_relaxed) - 1;
  if (number < 0) return Result::Failed(SYS_pidfd_getfd, EBADF);
  const Result result = PidfdOf(task);
  if (!result.ok()) return result;
  const long fetched = syscall(SYS_pidfd_getfd, pidfd_, number, 0);
  if (fetched < 0) return Result::Failed(SYS_pidfd_getfd, errno, number);
  return Fill(op, static_cast<int>(fetched), false);
}

Result Task::Adopt(const Op& op) {
  const auto count = static_cast<size_t>(op.args[2]);
  const char* const list = program_->blob(static_cast<uint64_t>(op.args[1]));
  const size_t room = sizeof(int) * (count + 1);
  void* const memory = mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return Result::Failed(SYS_mmap, errno);
  int* const numbers = static_cast<int*>(memory);
  Result result;
  for (size_t i = 0; i < count && result.ok(); i++) {
    uint32_t slot = 0;
    memcpy(&slot, list + i * sizeof slot, sizeof slot);
    // As it was when this task was made.
    result = NumberOf(slot, numbers[i]);
    if (result.ok()) SetSlot(static_cast<uint32_t>(op.args[3]) + static_cast<uint32_t>(i), numbers[i]);
  }
  if (result.ok()) {
    std::sort(numbers, numbers + count);
    result = CloseOthers(numbers, count);
  }
  munmap(memory, room);
  return result;
}

Result Task::Write(const Op& op) {
  int number = -1;
  const Result result = NumberOf(op.args[0], number);
  if (!result.ok()) return result;
  const char* blob = program_->blob(static_cast<uint64_t>(op.args[1]));
  if (op.code == Code::kWrite) return WriteAll(number, blob, static_cast<size_t>(op.args[2]));
  return CopyFile(number, {.path = blob, .offset = op.args[2], .size = op.args[3]}, op.args[4]);
}

Result Task::SendMessage(const Op& op) {
  int socket = -1;
  Result result = NumberOf(op.args[0], socket);
  if (!result.ok()) return result;
  const auto count = static_cast<uint32_t>(op.args[3] >> 32);
  const char* slots = program_->blob(static_cast<uint64_t>(op.args[3] & 0xffffffff));
  int rights[kMostRights];
  for (uint32_t i = 0; i < count; i++) {
    uint32_t slot = 0;
    memcpy(&slot, slots + size_t{i} * sizeof slot, sizeof slot);
    result = NumberOf(slot, rights[i]);
    if (!result.ok()) return result;
  }
  const auto address_size = static_cast<uint32_t>(op.args[4] >> 32);
  return Send(socket,
              {.data = program_->blob(static_cast<uint64_t>(op.args[1])),
               .size = static_cast<size_t>(op.args[2]),
               .rights = rights,
               .rights_count = count,
               .address = address_size == 0 ? nullptr
                                            : program_->blob(static_cast<uint64_t>(op.args[4] & 0xffffffff)),
               .address_size = address_size,
               .flags = static_cast<int>(op.args[5])});
}

Result Task::Store(const Op& op) {
  Locals locals;
  int64_t value = 0;
  const Result result = Resolve(op, 1, locals, value);
  if (!result.ok()) return result;
  // Little endian: the first bytes of it are the narrower number.
  memcpy(scratch_ + op.args[0], &value, static_cast<size_t>(op.args[2]));
  return {};
}

Result Task::FromNow(const Op& op) {
  constexpr long kSecond = 1'000'000'000;
  itimerspec times{};
  memcpy(&times, program_->blob(static_cast<uint64_t>(op.args[1])), sizeof times);
  timespec now{};
  if (clock_gettime(static_cast<clockid_t>(op.args[0]), &now) != 0) {
    return Result::Failed(SYS_clock_gettime, errno);
  }
  timespec& value = times.it_value;
  value.tv_sec += now.tv_sec;
  value.tv_nsec += now.tv_nsec;
  if (value.tv_nsec >= kSecond) {
    value.tv_sec++;
    value.tv_nsec -= kSecond;
  }
  memcpy(scratch_, &times, sizeof times);
  return {};
}

Result Task::DeadPidfds(const Op& op) {
  pid_t ended = 0;
  const Result made = MakeEnded(ended);
  if (!made.ok()) return made;
  Result result;
  for (int64_t i = 0; i < op.args[1] && result.ok(); i++) {
    uint32_t flags = 0;
    memcpy(&flags, program_->blob(static_cast<uint64_t>(op.args[0] + i * 4)), sizeof flags);
    const long opened = syscall(SYS_pidfd_open, ended, flags);
    if (opened < 0) {
      result = Result::Failed(SYS_pidfd_open, errno);
      break;
    }
    int pidfd = static_cast<int>(opened);
    result = table_.OutOfTheWay(pidfd);
    if (result.ok()) SetSlot(static_cast<uint32_t>(op.args[2] + i), pidfd);
  }
  const Result reaped = Reap(ended);
  return result.ok() ? reaped : result;
}

Result Task::Sweep(const Op& op) {
  const program::Task& task = program_->task(op.task);
  return CloseOthers(reinterpret_cast<const int*>(program_->blob(task.targets_at)), task.targets_count);
}

Result Task::CloseOthers(const int* numbers, size_t count) {
  pidfd_ = -1;
  unsigned from = 0;
  for (size_t i = 0; i <= count; i++) {
    const unsigned to = i < count ? static_cast<unsigned>(numbers[i]) : ~0U;
    if (to > from && syscall(SYS_close_range, from, i < count ? to - 1 : to, 0) != 0) {
      return Result::Failed(SYS_close_range, errno, from);
    }
    from = to + 1;
  }
  return {};
}

}  // namespace restore
