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

Result OpenOnce(const char* path, int flags, int& master, unsigned& index) {
  master = open(path, flags);
  if (master < 0) return Result::Failed(SYS_openat, errno);
  if (ioctl(master, TIOCGPTN, &index) == 0) return {};
  return Result::Failed(SYS_ioctl, errno);
}

}  // namespace

Result OpenPtmx(const char* path, int64_t wanted, int flags, Word& word, int& master) {
  const Lock lock(word);
  int count = 0;
  Result result;
  for (;;) {
    unsigned index = 0;
    result = OpenOnce(path, flags, master, index);
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

Result MakeEnded(pid_t& pid) {
  // Without an exit signal: the death of a child with SIGCHLD is the end of the restore.
  clone_args arguments{};
  const long made = syscall(SYS_clone3, &arguments, sizeof arguments);
  if (made == 0) _exit(0);
  if (made < 0) return Result::Failed(SYS_clone3, errno);
  pid = static_cast<pid_t>(made);
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT | __WALL) != 0) {
    if (errno != EINTR) return Result::Failed(SYS_waitid, errno);
  }
  return {};
}

Result Reap(pid_t pid) {
  while (waitpid(pid, nullptr, __WALL) < 0) {
    if (errno != EINTR) return Result::Failed(SYS_wait4, errno);
  }
  return {};
}

}  // namespace restore
