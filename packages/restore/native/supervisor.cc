#include "supervisor.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "start_time.h"
#include "task.h"
#include "undo.h"

namespace restore {
namespace {

constexpr int kFailureStatus = 1;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kSecond = 1'000'000'000;

int64_t Now() {
  timespec now{};
  (void)clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

void Tell(int control, char what) {
  // A caller that is gone is told nothing; whoever comes after it finds the outcome in the state.
  while (send(control, &what, 1, MSG_NOSIGNAL) < 0 && errno == EINTR) {
  }
}

// All that this process has, by /proc; where that does not tell, nothing.
void KillChildren() {
  const int file = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  char text[4096];
  pid_t pid = 0;
  for (;;) {
    const ssize_t size = read(file, text, sizeof text);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    for (ssize_t i = 0; i < size; i++) {
      const bool digit = text[i] >= '0' && text[i] <= '9';
      if (!digit && pid != 0) (void)kill(pid, SIGKILL);
      pid = digit ? pid * 10 + (text[i] - '0') : 0;
    }
  }
  (void)close(file);  // only read from
}

class Supervisor {
 public:
  Supervisor(const Program& program, const SharedState& state, const Files& files)
      : program_(program), state_(state), files_(files) {}

  int Run();

 private:
  Result Start();
  void Watch();
  bool HeedTasks();
  bool HeedCaller();
  void Ready();
  bool Fail(FailureKind kind, int64_t detail = 0);
  int Hold();
  int RollBack();
  int Patience() const;
  void NoteStartTimes();

  const Program& program_;
  const SharedState& state_;
  const Files files_;
  Task task_;
  int bell_ = -1;
  int64_t deadline_ = 0;  // 0: none now
  bool waiting_ = false;  // for the caller's word
  bool held_ = false;
};

Result Supervisor::Start() {
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return Result::Failed(SYS_prctl, errno);
  const Result prepared = task_.Prepare(program_, state_, files_.program, files_.program_size);
  if (!prepared.ok()) return prepared;
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return Result::Failed(SYS_pipe2, errno);
  DescriptorTable table(NumberSet(program_.reserved(), program_.header().reserved_count));
  for (int& end : ends) {
    const Result moved = table.OutOfTheWay(end);
    if (!moved.ok()) return moved;
  }
  clone_args arguments{};
  arguments.flags = CLONE_PARENT_SETTID;
  arguments.parent_tid = reinterpret_cast<uintptr_t>(&state_.tasks[0].pid);
  arguments.exit_signal = SIGCHLD;
  const pid_t parent = getpid();
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return Result::Failed(SYS_clone3, errno);
  if (pid == 0) {
    // Else the end of the caller would not be seen by the supervisor, nor the end of task 0.
    (void)close(files_.control);
    (void)close(ends[0]);
    task_.Start(parent, ends[1]);
  }
  (void)close(ends[1]);
  bell_ = ends[0];
  return {};
}

int Supervisor::Run() {
  if (program_.header().deadline != 0) deadline_ = Now() + program_.header().deadline * kMillisecond;
  const Result started = Start();
  if (!started.ok()) {
    state_.Fail(FailureKind::kHelper, 0, 0, started.call, started.error, started.detail);
    return RollBack();
  }
  Watch();
  return held_ ? Hold() : RollBack();
}

int Supervisor::Patience() const {
  if (deadline_ == 0) return -1;
  const int64_t left = deadline_ - Now();
  // Rounded up: one that is not over yet would be looked at again and again.
  return static_cast<int>(std::max<int64_t>(0, (left + kMillisecond - 1) / kMillisecond));
}

// Until the tasks are held, or something has failed.
void Supervisor::Watch() {
  pollfd files[2] = {{.fd = bell_, .events = POLLIN, .revents = 0},
                     {.fd = files_.control, .events = POLLIN, .revents = 0}};
  for (;;) {
    const int count = poll(files, 2, Patience());
    if (count < 0 && errno != EINTR) {
      state_.Fail(FailureKind::kHelper, 0, 0, SYS_poll, errno, 0);
      return;
    }
    if (count == 0) {
      Fail(FailureKind::kDeadline);
      return;
    }
    if (count < 0) continue;
    if (files[0].revents != 0 && !HeedTasks()) return;
    if (files[1].revents != 0 && !HeedCaller()) return;
  }
}

bool Supervisor::Fail(FailureKind kind, int64_t detail) {
  state_.Fail(kind, 0, 0, 0, 0, detail);
  return false;
}

// False: there is nothing more to wait for.
bool Supervisor::HeedTasks() {
  char what = 0;
  const ssize_t size = read(bell_, &what, 1);
  if (size < 0) return errno == EINTR || Fail(FailureKind::kHelper);
  if (size == 0) {
    // Task 0 has told why, or it was killed.
    int status = 0;
    const pid_t pid = state_.tasks[0].pid.exchange(0, std::memory_order_relaxed);
    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
    }
    return Fail(FailureKind::kDied, WIFSIGNALED(status) ? WTERMSIG(status) : 256 + WEXITSTATUS(status));
  }
  if (what == kAllArrived) {
    Ready();
    return true;
  }
  held_ = true;
  return false;
}

void Supervisor::Ready() {
  waiting_ = true;
  // The caller may think as long as it likes.
  deadline_ = 0;
  NoteStartTimes();
  Tell(files_.control, kReady);
}

// A process that has executed another program cannot be told from a later one with its number in any other
// way.
void Supervisor::NoteStartTimes() {
  for (uint32_t task = 1; task < program_.header().task_count; task++) {
    if (!program_.facts(task).executes || state_.tasks[task].nested != 0) continue;
    state_.tasks[task].start_time = StartTime(state_.tasks[task].pid.load(std::memory_order_relaxed));
  }
}

bool Supervisor::HeedCaller() {
  char what = 0;
  const ssize_t size = recv(files_.control, &what, 1, 0);
  if (size < 0 && errno == EINTR) return true;
  if (size <= 0) return Fail(FailureKind::kCallerGone);
  if (what != kCommit || !waiting_) return Fail(FailureKind::kRollback);
  waiting_ = false;
  if (program_.header().deadline != 0) deadline_ = Now() + program_.header().deadline * kMillisecond;
  RaiseAndWake(state_.header->committed);
  return true;
}

int Supervisor::Hold() {
  while (waitpid(state_.tasks[0].pid.load(std::memory_order_relaxed), nullptr, __WALL) < 0 &&
         errno == EINTR) {
  }
  state_.header->outcome.store(static_cast<uint32_t>(Outcome::kHeld), std::memory_order_release);
  Tell(files_.control, kHeld);
  return 0;
}

// Kills all tasks, waits for their end, and takes away what they made.
int Supervisor::RollBack() {
  // Pairs with the acquire in Task::Begin(): a task that is being made now, and that is not seen here, sees
  // this.
  state_.header->aborted.store(1, std::memory_order_seq_cst);
  for (uint32_t task = 0; task < program_.header().task_count; task++) {
    // Nobody but this process waits for them, and it has not yet: the numbers are still theirs.
    const pid_t pid = state_.tasks[task].pid.load(std::memory_order_acquire);
    if (pid > 0 && state_.tasks[task].nested == 0) (void)kill(pid, SIGKILL);
  }
  // The children of those that have died become this process's, one generation after the other. A task that
  // has executed a program may have some that nobody here knows of.
  const bool strangers = state_.header->decided.load(std::memory_order_acquire) != 0;
  do {
    if (strangers) KillChildren();
  } while (waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR);
  UndoAll(program_, state_);
  state_.header->outcome.store(static_cast<uint32_t>(Outcome::kRolledBack), std::memory_order_release);
  Tell(files_.control, kRolledBack);
  return kFailureStatus;
}

// Times that a word is looked at, a second each. More than one for a process that was killed between being
// made and being able to tell of its end.
constexpr int kLooks = 3;

// The word of a task says the same when it has executed a program, and that one lives.
void EndProgram(const SharedTask& task, pid_t pid) {
  if (task.start_time == 0) return;
  const auto pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pidfd < 0) return;
  // Looked at behind the opening: the pidfd is of that process, or of none.
  if (StartTime(pid) == task.start_time && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0) == 0) {
    pollfd end{.fd = pidfd, .events = POLLIN, .revents = 0};
    while (poll(&end, 1, -1) < 0 && errno == EINTR) {
    }
  }
  (void)close(pidfd);
}

// A task of a helper that died: it gets SIGKILL by its parent's death, unless it was released already.
void EndTask(SharedTask& task) {
  const pid_t pid = task.pid.load(std::memory_order_acquire);
  if (pid <= 0) return;
  for (int look = 0; look < kLooks; look++) {
    const uint32_t life = task.life.load(std::memory_order_acquire);
    if ((life & FUTEX_OWNER_DIED) != 0) break;
    // It lives, so the number is its own. One that has not begun yet will see that all is aborted.
    if (life != 0 && task.nested == 0) (void)kill(pid, SIGKILL);
    const timespec patience{.tv_sec = 1, .tv_nsec = 0};
    FutexWait(task.life, life, &patience);
  }
  EndProgram(task, pid);
}

}  // namespace

int Supervise(const Program& program, const SharedState& state, const Files& files) {
  return Supervisor(program, state, files).Run();
}

int CleanUp(const Program& program, const SharedState& state, int control) {
  state.header->aborted.store(1, std::memory_order_seq_cst);
  // In the order of the tasks a child may come before the one that makes it. When none has come meanwhile,
  // all are dead.
  uint32_t known = 0;
  for (;;) {
    uint32_t made = 0;
    for (uint32_t task = 0; task < program.header().task_count; task++) {
      if (state.tasks[task].pid.load(std::memory_order_acquire) != 0) made++;
      EndTask(state.tasks[task]);
    }
    if (made == known) break;
    known = made;
  }
  UndoAll(program, state);
  state.header->outcome.store(static_cast<uint32_t>(Outcome::kRolledBack), std::memory_order_release);
  Tell(control, kRolledBack);
  return 0;
}

}  // namespace restore
