#include "makers.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

namespace restore {
namespace {

// The most that Linux has, unless an administrator raised pty.max.
constexpr int kMostAside = 4096;
int aside[kMostAside];

class Lock {
 public:
  explicit Lock(Word& word) : word_(word) {
    // 2: somebody may be waiting. Acquire pairs with the release of the one who had it before.
    uint32_t free = 0;
    if (word_.compare_exchange_strong(free, 1, std::memory_order_acquire)) return;
    while (word_.exchange(2, std::memory_order_acquire) != 0) FutexWait(word_, 2);
  }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;
  ~Lock() {
    if (word_.exchange(0, std::memory_order_release) == 2) FutexWake(word_);
  }

 private:
  Word& word_;
};

Result OpenOnce(int flags, int& master, unsigned& index) {
  master = open("/dev/ptmx", flags);
  if (master < 0) return Result::Failed(SYS_openat, errno);
  if (ioctl(master, TIOCGPTN, &index) == 0) return {};
  return Result::Failed(SYS_ioctl, errno);
}

}  // namespace

Result OpenPtmx(int64_t wanted, int flags, Word& word, int& master) {
  const Lock lock(word);
  int count = 0;
  Result result;
  for (;;) {
    unsigned index = 0;
    result = OpenOnce(flags, master, index);
    if (!result.ok() || index == wanted) break;
    if (index > wanted || count == kMostAside) {
      (void)close(master);  // nothing was written to it
      result = Result::Failed(SYS_openat, EBUSY, wanted);
      break;
    }
    aside[count++] = master;
  }
  while (count > 0) (void)close(aside[--count]);
  return result;
}

Result OpenDeadPidfd(unsigned flags, int& pidfd) {
  // Without an exit signal: the death of a child with SIGCHLD is the end of the restore.
  clone_args arguments{};
  const long pid = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid == 0) _exit(0);
  if (pid < 0) return Result::Failed(SYS_clone3, errno);
  // It cannot be another process yet: a number is free only when it has been waited for.
  const long opened = syscall(SYS_pidfd_open, pid, flags);
  const int error = errno;
  while (waitpid(static_cast<pid_t>(pid), nullptr, __WALL) < 0) {
    if (errno != EINTR) return Result::Failed(SYS_wait4, errno);
  }
  if (opened < 0) return Result::Failed(SYS_pidfd_open, error);
  pidfd = static_cast<int>(opened);
  return {};
}

}  // namespace restore
