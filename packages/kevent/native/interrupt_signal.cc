#include "interrupt_signal.h"

#include <sys/syscall.h>
#include <unistd.h>

namespace kevent::interrupt_signal {
namespace {

struct Thread {
  pid_t id;
  sigset_t wait_mask;
  volatile sig_atomic_t taken;
};
thread_local Thread self{};

void OnSignal(int /*signal*/) {
  self.taken = 1;
}

// The highest real-time signal that nobody in this process handles.
int Install() {
  for (int signal = SIGRTMAX; signal > SIGRTMIN; signal--) {
    struct sigaction action {};
    if (sigaction(signal, nullptr, &action) < 0 || action.sa_handler != SIG_DFL) continue;
    action.sa_handler = OnSignal;
    sigemptyset(&action.sa_mask);
    if (sigaction(signal, &action, nullptr) == 0) return signal;
  }
  return 0;  // 31 handlers of others: waits then end with their events or timeouts alone
}

int Number() {
  static const int number = Install();
  return number;
}

}  // namespace

pid_t Block() {
  if (self.id != 0) return self.id;
  const int number = Number();
  sigset_t signals;
  sigemptyset(&signals);
  if (number != 0) sigaddset(&signals, number);
  // On Linux the mask is this thread's alone; pthread_sigmask(3) would need a newer C library.
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  sigprocmask(SIG_BLOCK, &signals, &self.wait_mask);
  if (number != 0) sigdelset(&self.wait_mask, number);
  self.id = static_cast<pid_t>(syscall(SYS_gettid));
  return self.id;
}

const sigset_t* WaitMask() {
  return &self.wait_mask;
}

void Send(pid_t thread) {
  if (Number() != 0) syscall(SYS_tgkill, getpid(), thread, Number());
}

bool Take() {
  if (self.taken == 0) return false;
  self.taken = 0;
  return true;
}

}  // namespace kevent::interrupt_signal
