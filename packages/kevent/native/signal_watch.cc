#include "signal_watch.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

namespace kevent::signal_watch {
namespace {

struct Watch {
  // What the handler reads and writes: lock-free, and nothing of it is ever freed.
  std::atomic<uint64_t> count{0};
  // Counted while it was blocked and pending: its delivery, when it comes, is not counted again.
  std::atomic<bool> counted{false};
  // The disposition that is next in line. Release and acquire: it is whole when the handler sees it.
  std::atomic<const struct sigaction*> next{nullptr};
  // The one that was there first: next in line for whoever put itself before us and calls us in turn.
  std::atomic<const struct sigaction*> first{nullptr};

  // Guarded by the mutex.
  int knotes = 0;
  std::vector<std::unique_ptr<struct sigaction>> dispositions;
};

std::mutex* Mutex() {
  static auto* mutex = new std::mutex();
  return mutex;
}

// Static storage: there before the first signal and after the last statics are gone.
std::array<Watch, kLast + 1>& Watches() {
  static auto* watches = new std::array<Watch, kLast + 1>();
  return *watches;
}
std::atomic<std::array<Watch, kLast + 1>*> all{nullptr};
std::atomic<int> wake{-1};

// Signals whose handlers this thread is in. Initial-exec: the first use must not allocate in a handler.
__attribute__((tls_model("initial-exec"))) thread_local uint64_t inside = 0;

bool IsIgnoredByDefault(int signal) {
  return signal == SIGCHLD || signal == SIGCONT || signal == SIGURG || signal == SIGWINCH;
}

// What would have happened without a handler: the process ends, or stops.
void TakeDefaultAction(int signal) {
  if (IsIgnoredByDefault(signal)) return;
  if (signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU) {
    kill(getpid(), SIGSTOP);
    return;
  }
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  static_cast<void>(raise(signal));  // fails for no signal that has come
  // On Linux the mask is this thread's alone; pthread_sigmask(3) would need a newer C library.
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
}

void Pass(const struct sigaction* to, int signal, siginfo_t* info, void* context) {
  if (to == nullptr || to->sa_handler == SIG_IGN) return;
  if (to->sa_handler == SIG_DFL) return TakeDefaultAction(signal);
  if ((to->sa_flags & SA_SIGINFO) != 0) {
    to->sa_sigaction(signal, info, context);
  } else {
    to->sa_handler(signal);
  }
}

void OnSignal(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  Watch& watch = (*all.load(std::memory_order_acquire))[static_cast<size_t>(signal)];
  const uint64_t bit = uint64_t{1} << (signal - 1);
  if ((inside & bit) != 0) {
    Pass(watch.first.load(std::memory_order_acquire), signal, info, context);
  } else {
    inside |= bit;
    if (!watch.counted.exchange(false, std::memory_order_seq_cst)) {
      // Release pairs with the acquire in Count, though the eventfd orders them as well.
      watch.count.fetch_add(1, std::memory_order_release);
    }
    const uint64_t one = 1;
    // Never full: that would need 2^64 - 2 signals.
    static_cast<void>(!write(wake.load(std::memory_order_acquire), &one, sizeof(one)));
    Pass(watch.next.load(std::memory_order_acquire), signal, info, context);
    inside &= ~bit;
  }
  errno = saved;
}

bool IsOurs(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == OnSignal;
}

// A disposition that outlives every handler that may have seen it.
const struct sigaction* Keep(Watch* watch, const struct sigaction& action) {
  for (const auto& known : watch->dispositions) {
    const bool same = known->sa_handler == action.sa_handler && known->sa_flags == action.sa_flags &&
                      memcmp(&known->sa_mask, &action.sa_mask, sizeof(sigset_t)) == 0;
    if (same) return known.get();
  }
  watch->dispositions.push_back(std::make_unique<struct sigaction>(action));
  return watch->dispositions.back().get();
}

// With the mutex held: ours becomes the handler, and what it replaces is next in line.
int Install(int signal) {
  Watch& watch = Watches()[static_cast<size_t>(signal)];
  struct sigaction current {};
  if (sigaction(signal, nullptr, &current) < 0) return errno;
  while (!IsOurs(current)) {
    const struct sigaction* next = Keep(&watch, current);
    watch.next.store(next, std::memory_order_release);
    if (watch.first.load(std::memory_order_relaxed) == nullptr) {
      watch.first.store(next, std::memory_order_release);
    }
    struct sigaction ours = current;
    ours.sa_sigaction = OnSignal;
    // What was ignored has interrupted no system call.
    const bool handled = current.sa_handler != SIG_IGN && current.sa_handler != SIG_DFL;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | (handled ? current.sa_flags : SA_RESTART);
    struct sigaction replaced {};
    if (sigaction(signal, &ours, &replaced) < 0) return errno;
    if (replaced.sa_handler == current.sa_handler) return 0;
    current = replaced;  // somebody was faster
  }
  return 0;
}

}  // namespace

int Descriptor() {
  const std::lock_guard<std::mutex> guard(*Mutex());
  int descriptor = wake.load(std::memory_order_acquire);
  if (descriptor >= 0) return descriptor;
  descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor >= 0) wake.store(descriptor, std::memory_order_release);  // pairs with the handler's acquire
  return descriptor;
}

int Add(int signal) {
  if (signal < 1 || signal > kLast || signal == SIGKILL || signal == SIGSTOP) return EINVAL;
  const std::lock_guard<std::mutex> guard(*Mutex());
  all.store(&Watches(), std::memory_order_release);  // pairs with the handler's acquire
  Watch& watch = Watches()[static_cast<size_t>(signal)];
  if (const int error = Install(signal); error != 0) return error;
  watch.knotes++;
  return 0;
}

void Remove(int signal) {
  const std::lock_guard<std::mutex> guard(*Mutex());
  Watch& watch = Watches()[static_cast<size_t>(signal)];
  if (--watch.knotes > 0) return;
  struct sigaction current {};
  if (sigaction(signal, nullptr, &current) < 0 || !IsOurs(current)) return;
  sigaction(signal, watch.next.load(std::memory_order_relaxed), nullptr);
  watch.first.store(nullptr, std::memory_order_release);
}

void Restore(int signal) {
  struct sigaction current {};
  if (sigaction(signal, nullptr, &current) == 0 && IsOurs(current)) return;
  const std::lock_guard<std::mutex> guard(*Mutex());
  if (Watches()[static_cast<size_t>(signal)].knotes > 0) Install(signal);
}

uint64_t Count(int signal) {
  Watch& watch = Watches()[static_cast<size_t>(signal)];
  sigset_t pending;
  const auto is_pending = [&] { return sigpending(&pending) == 0 && sigismember(&pending, signal) == 1; };
  if (is_pending() && !watch.counted.exchange(true, std::memory_order_seq_cst)) {
    // Delivered between the two looks: either the handler has seen the mark and left the count to us, or it
    // had counted already, and the mark is taken back.
    const bool taken_back = !is_pending() && watch.counted.exchange(false, std::memory_order_seq_cst);
    if (!taken_back) watch.count.fetch_add(1, std::memory_order_acq_rel);
  }
  return watch.count.load(std::memory_order_acquire);
}

}  // namespace kevent::signal_watch
