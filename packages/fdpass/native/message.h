// One sendmsg(2) or recvmsg(2) on a Unix socket. Neither ever waits, whatever O_NONBLOCK says: the
// description may be shared with somebody who wants it otherwise.
#ifndef X_FDPASS_MESSAGE_H_
#define X_FDPASS_MESSAGE_H_

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <cstddef>

#include "ancillary.h"

namespace fdpass {

struct Outgoing {
  iovec parts[2] = {};
  size_t part_count = 0;
  const int* descriptors = nullptr;
  int descriptor_count = 0;
  const Credentials* credentials = nullptr;
  const sockaddr_un* to = nullptr;
  socklen_t to_length = 0;
};

struct Incoming {
  Ancillary ancillary;
  int flags = 0;     // MSG_CTRUNC, MSG_TRUNC
  sockaddr_un from;  // NOLINT: the first `from_length` bytes are set
  socklen_t from_length = 0;
};

// Bytes sent, or a negative errno. The descriptors went with the first of the bytes, or nothing went.
ssize_t Send(int socket, const Outgoing& message);

// Bytes received, or a negative errno. Received descriptors are close-on-exec and the caller's. `flags` are
// recvmsg(2)'s. Who has sent it is asked `with_name` only: of datagrams it can be another each time.
ssize_t Receive(int socket, void* into, size_t room, int flags, bool with_name, Incoming& message);

}  // namespace fdpass

#endif  // X_FDPASS_MESSAGE_H_
