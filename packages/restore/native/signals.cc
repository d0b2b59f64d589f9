#include "signals.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace restore {
namespace {

// Of a terminal whose other side is closed or that is changed from the background, of a pipe that nobody
// reads, and of files that somebody has asked to be told about.
constexpr int kIgnored[] = {SIGHUP, SIGPIPE, SIGTTIN, SIGTTOU, SIGTSTP, SIGIO};
constexpr int kFailureStatus = 1;

SharedState watched;
uint32_t watched_count;

uint32_t TaskOf(pid_t pid) {
  for (uint32_t task = 0; task < watched_count; task++) {
    if (watched.tasks[task].pid.load(std::memory_order_relaxed) == pid) return task;
  }
  return 0;
}

// It does not return when a child has died that the restore still needs; so no system call of an operation
// ever sees EINTR for it.
void OnChild(int signal) {
  (void)signal;
  const int saved = errno;
  siginfo_t info{};
  // Left for the helper to reap: until then nobody gets its number.
  if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) {
    errno = saved;
    return;
  }
  const uint32_t task = TaskOf(info.si_pid);
  // The program that it has executed has ended already.
  if (task != 0 && watched.tasks[task].released.load(std::memory_order_acquire) != 0) {
    errno = saved;
    return;
  }
  const int detail = info.si_code == CLD_EXITED ? 256 + info.si_status : info.si_status;
  watched.Fail(FailureKind::kDied, task, 0, 0, 0, detail);
  _exit(kFailureStatus);
}

void SetAction(int signal, void (*action)(int)) {
  struct sigaction wanted {};
  wanted.sa_handler = action;
  wanted.sa_flags = SA_RESTART | SA_NOCLDSTOP;
  // It fails for numbers that are no signals, or cannot be handled: those are as they should be.
  (void)sigaction(signal, &wanted, nullptr);
}

}  // namespace

void ResetSignals() {
  for (int signal = 1; signal < NSIG; signal++) SetAction(signal, SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  (void)pthread_sigmask(SIG_SETMASK, &none, nullptr);
}

void WatchChildren(const SharedState& state, uint32_t task_count) {
  watched = state;
  watched_count = task_count;
  for (const int signal : kIgnored) SetAction(signal, SIG_IGN);
  SetAction(SIGCHLD, OnChild);
}

void UnwatchChildren() {
  for (const int signal : kIgnored) SetAction(signal, SIG_DFL);
  SetAction(SIGCHLD, SIG_DFL);
}

}  // namespace restore
