#include "terminal.h"

#include <sys/ioctl.h>

#include <cerrno>

namespace fdpass {

int TerminalOf(int descriptor, Terminal& terminal) {
  if (ioctl(descriptor, TIOCGDEV, &terminal.device) != 0) return -errno;
  int number = 0;
  terminal.master = ioctl(descriptor, TIOCGPTN, &number) == 0;
  return 0;
}

}  // namespace fdpass
