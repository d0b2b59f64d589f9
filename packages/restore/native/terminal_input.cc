#include "terminal_input.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>

namespace restore {
namespace {

// Of the 4096 that N_TTY holds: what is behind them waits elsewhere, and would overtake what is put back.
constexpr int kMostQueued = 4000;

// As the kernel has it for TCGETS; the C library's is longer.
struct KernelTermios {
  uint32_t iflag;
  uint32_t oflag;
  uint32_t cflag;
  uint32_t lflag;
  uint8_t line;
  uint8_t cc[19];
};

// Asked with memory that is not there: whether it is allowed is looked at first. EPERM or, from a kernel that
// has TIOCSTI switched off (dev.tty.legacy_tiocsti), EIO.
int CheckPutBack(int terminal) {
  if (ioctl(terminal, TIOCSTI, nullptr) == 0) return 0;
  return errno == EFAULT ? 0 : -EPERM;
}

// As given, but nothing that is typed is changed, echoed or taken for a command. Ends of lines stay what they
// are.
KernelTermios Transparent(KernelTermios termios, bool lines) {
  termios.iflag &= ~static_cast<uint32_t>(IGNBRK | BRKINT | PARMRK | INPCK | ISTRIP | INLCR | IGNCR | ICRNL |
                                          IUCLC | IXON | IXOFF | IMAXBEL);
  termios.lflag &= ~static_cast<uint32_t>(ISIG | ECHO | ECHOE | ECHOK | ECHONL | IEXTEN);
  for (const int key : {VINTR, VQUIT, VERASE, VKILL, VEOF, VSUSP, VREPRINT, VWERASE, VLNEXT, VDISCARD}) {
    termios.cc[key] = _POSIX_VDISABLE;
  }
  if (!lines) {
    termios.lflag &= ~static_cast<uint32_t>(ICANON);
    termios.cc[VMIN] = 0;
    termios.cc[VTIME] = 0;
  }
  return termios;
}

int Queued(int terminal, int& count) {
  // poll(2) moves what has been written at the other end into the queue.
  pollfd polled{terminal, POLLIN, 0};
  if (poll(&polled, 1, 0) < 0) return -errno;
  return ioctl(terminal, FIONREAD, &count) == 0 ? 0 : -errno;
}

int TakeAndPutBack(int terminal, int count, const KernelTermios* to_put_back, std::vector<char>& bytes) {
  bytes.resize(static_cast<size_t>(count));
  size_t taken = 0;
  int error = 0;
  while (taken < bytes.size()) {
    const ssize_t got = read(terminal, bytes.data() + taken, bytes.size() - taken);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = -errno;
    if (got <= 0) break;
    taken += static_cast<size_t>(got);
  }
  bytes.resize(taken);
  if (to_put_back != nullptr && ioctl(terminal, TCSETS, to_put_back) != 0) error = -errno;
  for (const char& byte : bytes) {
    if (ioctl(terminal, TIOCSTI, &byte) != 0) error = -errno;
  }
  return error;
}

int ReadSlave(int terminal, std::vector<char>& bytes) {
  KernelTermios before{};
  if (ioctl(terminal, TCGETS, &before) != 0) return -errno;
  // Lines that are not complete are seen without ICANON only, and its change forgets where lines end.
  const bool lines = (before.lflag & ICANON) != 0;
  const KernelTermios open = Transparent(before, false);
  const KernelTermios transparent = Transparent(before, lines);
  if (ioctl(terminal, TCSETS, &open) != 0) return -errno;
  int count = 0;
  int error = Queued(terminal, count);
  if (error == 0 && count > 0) error = TakeAndPutBack(terminal, count, &transparent, bytes);
  if (ioctl(terminal, TCSETS, &before) != 0 && error == 0) error = -errno;
  return error;
}

// A master's queue has no discipline; in packet mode a byte that says so stands before the data.
int ReadMaster(int terminal, int count, std::vector<char>& bytes) {
  int packets = 0;
  const int off = 0;
  if (ioctl(terminal, TIOCGPKT, &packets) != 0) return -errno;
  if (packets != 0 && ioctl(terminal, TIOCPKT, &off) != 0) return -errno;
  int error = TakeAndPutBack(terminal, count, nullptr, bytes);
  if (packets != 0 && ioctl(terminal, TIOCPKT, &packets) != 0 && error == 0) error = -errno;
  return error;
}

}  // namespace

int ReadTerminalInput(int terminal, bool master, std::vector<char>& bytes) {
  int count = 0;
  const int error = Queued(terminal, count);
  if (error != 0) return error;
  if (count > kMostQueued) return -E2BIG;
  if (master && count == 0) return 0;
  const int forbidden = CheckPutBack(terminal);
  if (forbidden != 0) return forbidden;
  return master ? ReadMaster(terminal, count, bytes) : ReadSlave(terminal, bytes);
}

}  // namespace restore
