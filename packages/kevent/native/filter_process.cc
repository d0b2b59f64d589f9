#include "filter_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "epoll_tag.h"

namespace kevent {
namespace {

// By number: older C libraries do not have them.
constexpr long kPidfdOpen = 434;
constexpr int kWaitByPidfd = 3;  // P_PIDFD

// PIDFD_GET_INFO of Linux 6.13; the exit code of a process that was reaped since 6.15.
struct PidfdInfo {
  uint64_t mask;
  uint64_t cgroup;
  uint32_t ids[11];
  int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr unsigned long kPidfdGetInfo = _IOWR(0xff, 11, PidfdInfo);
constexpr uint64_t kPidfdInfoExit = 1u << 3;

// The process that a pidfd names, as /proc tells it; 0 for a descriptor of another kind.
long ProcessOf(int descriptor) {
  std::array<char, 48> path;
  static_cast<void>(snprintf(path.data(), path.size(), "/proc/self/fdinfo/%d", descriptor));
  const Descriptor info(open(path.data(), O_RDONLY | O_CLOEXEC));
  std::array<char, 512> text{};
  if (!info.valid() || read(info.get(), text.data(), text.size() - 1) <= 0) return 0;
  const char* line = strstr(text.data(), "\nPid:");
  return line == nullptr ? 0 : strtol(line + 5, nullptr, 10);
}

// As wait(2) has it, without taking it from the parent. -1: it is not a child of this process, or was reaped
// before this look, and the kernel is older than 6.15 or has not reaped it yet.
int64_t WaitStatus(int pidfd) {
  siginfo_t info{};
  if (waitid(static_cast<idtype_t>(kWaitByPidfd), static_cast<id_t>(pidfd), &info,
             WEXITED | WNOHANG | WNOWAIT) == 0 &&
      info.si_pid != 0) {
    if (info.si_code == CLD_EXITED) return (info.si_status & 0xff) << 8;
    return info.si_status | (info.si_code == CLD_DUMPED ? 0x80 : 0);
  }
  PidfdInfo more{};
  more.mask = kPidfdInfoExit;
  const bool known = ioctl(pidfd, kPidfdGetInfo, &more) == 0 && (more.mask & kPidfdInfoExit) != 0;
  return known ? more.exit_code : -1;
}

Descriptor OpenProcess(const Knote& knote) {
  if (knote.filter() == EVFILT_PROCDESC) {
    return Descriptor(fcntl(static_cast<int>(knote.ident), F_DUPFD_CLOEXEC, 0));
  }
  return Descriptor(static_cast<int>(syscall(kPidfdOpen, static_cast<pid_t>(knote.ident), 0)));
}

}  // namespace

int ProcessFilter::Attach(Knote* knote, Slot slot) {
  Descriptor process;
  if (knote->filter() == EVFILT_PROCDESC) {
    process = OpenProcess(*knote);
    if (!process.valid()) return errno;
    const long id = ProcessOf(process.get());
    if (id == 0) return EINVAL;
    if (id < 0) return ESRCH;  // reaped
  } else {
    // A number that no process can have has none.
    if (knote->ident <= 0 || knote->ident > std::numeric_limits<pid_t>::max()) return ESRCH;
    process = OpenProcess(*knote);
    if (!process.valid())
      return errno == EINVAL || errno == ENOENT ? ESRCH : errno;  // a thread, not a process
  }
  // One event is all there will be, and it is this knote's last.
  knote->Stick(EV_CLEAR);
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = MakeKnoteTag(slot, knote->generation())}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, process.get(), &registration) < 0) return errno;
  std::lock_guard<std::mutex> guard(mutex_);
  processes_[slot] = std::move(process);
  return 0;
}

void ProcessFilter::Detach(const Knote& /*knote*/, Slot slot) {
  Descriptor closing;
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = processes_.find(slot);
  if (found == processes_.end()) return;
  // Not by close alone: a duplicate, and the pidfd that it was made from, are one file to epoll.
  epoll_event unused{};
  epoll_ctl(epoll_, EPOLL_CTL_DEL, found->second.get(), &unused);
  closing = std::move(found->second);
  processes_.erase(found);
}

// The knote is locked: its descriptor stays.
int ProcessFilter::ProcessFor(Slot slot) {
  std::lock_guard<std::mutex> guard(mutex_);
  return processes_[slot].get();
}

bool ProcessFilter::IsGone(const Knote& knote, Slot slot) {
  return knote.filter() == EVFILT_PROCDESC &&
         ProcessOf(static_cast<int>(knote.ident)) != ProcessOf(ProcessFor(slot));
}

Verdict ProcessFilter::Evaluate(Knote* knote, Slot slot, Level* level) {
  if (IsGone(*knote, slot)) return Verdict::kGone;
  const int pidfd = ProcessFor(slot);
  pollfd exited{pidfd, POLLIN, 0};
  if (poll(&exited, 1, 0) <= 0) return Verdict::kNothing;
  level->data = WaitStatus(pidfd);
  level->fflags = NOTE_EXIT;
  level->eof = true;
  knote->Stick(EV_ONESHOT);
  return Verdict::kDue;
}

}  // namespace kevent
