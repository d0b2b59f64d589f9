#include "identity.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "kernel_abi.h"

namespace fdpass {

int PeerCredentials(int socket, Credentials& credentials) {
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -errno;
  return 0;
}

int PeerPidfd(int socket, Descriptor& pidfd) {
  int number = -1;
  socklen_t size = sizeof number;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &number, &size) != 0) return -errno;
  pidfd = Descriptor(number);
  return 0;
}

int PidfdOpen(pid_t pid, Descriptor& pidfd) {
  pidfd = Descriptor(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  return pidfd.valid() ? 0 : -errno;
}

int PidfdGetfd(int pidfd, int descriptor, Descriptor& duplicate) {
  duplicate = Descriptor(static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, descriptor, 0)));
  return duplicate.valid() ? 0 : -errno;
}

}  // namespace fdpass
