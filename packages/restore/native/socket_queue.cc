#include "socket_queue.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel_numbers.h"

namespace restore {
namespace {

constexpr size_t kFirstRoom = size_t{64} * 1024;
constexpr size_t kMostRights = 253;  // SCM_MAX_FD
// A packet without bytes looks like the end of a seqpacket socket; more of them in a row are taken for the
// end.
constexpr int kMostEmptyPackets = 64;

class PeekOffset {
 public:
  explicit PeekOffset(int socket) : socket_(socket) {
    socklen_t size = sizeof before_;
    if (getsockopt(socket_, SOL_SOCKET, kSoPeekOff, &before_, &size) != 0) error_ = -errno;
    if (error_ == 0) error_ = Set(0);
    changed_ = error_ == 0;
  }
  PeekOffset(const PeekOffset&) = delete;
  PeekOffset& operator=(const PeekOffset&) = delete;
  ~PeekOffset() {
    if (changed_) Set(before_);
  }

  int error() const { return error_; }

  int Set(int offset) const {
    return setsockopt(socket_, SOL_SOCKET, kSoPeekOff, &offset, sizeof offset) == 0 ? 0 : -errno;
  }

 private:
  int socket_;
  int before_ = -1;
  int error_ = 0;
  bool changed_ = false;
};

void TakeRights(const msghdr& header, std::vector<UniqueFd>& rights) {
  for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr;
       at = CMSG_NXTHDR(const_cast<msghdr*>(&header), at)) {
    if (at->cmsg_level != SOL_SOCKET) continue;
    if (at->cmsg_type == kScmPidfd) {
      // A descriptor too, of a socket that asks to be told who has sent.
      int pidfd = -1;
      memcpy(&pidfd, CMSG_DATA(at), sizeof pidfd);
      const UniqueFd closed(pidfd);
    }
    if (at->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int number = -1;
      memcpy(&number, CMSG_DATA(at) + i * sizeof number, sizeof number);
      rights.emplace_back(number);
    }
  }
}

// One peek, of `room` bytes at most. Bytes, or a negative errno; `flags` are what recvmsg(2) leaves.
ssize_t Peek(int socket, size_t room, QueuedMessage& message, int& flags) {
  // Rights, and whatever else the socket asks to be told with them.
  alignas(cmsghdr) char control[CMSG_SPACE(kMostRights * sizeof(int)) + 512];
  sockaddr_un from;
  message = {};
  message.bytes.resize(room);
  iovec part{message.bytes.data(), room};
  msghdr header{};
  header.msg_name = &from;
  header.msg_namelen = sizeof from;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const ssize_t got = recvmsg(socket, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return -errno;
  message.bytes.resize(static_cast<size_t>(got));
  TakeRights(header, message.rights);
  if (header.msg_namelen > sizeof(sa_family_t)) {
    message.sender.assign(from.sun_path,
                          std::min<size_t>(header.msg_namelen, sizeof from) - sizeof(sa_family_t));
  }
  flags = header.msg_flags;
  return got;
}

// A peek of a stream ends behind the bytes that came with rights, and does not tell where those begin: bytes
// before them that came without count as theirs. Who reads all that is there sees no difference.
int ReadStream(int socket, std::vector<QueuedMessage>& messages) {
  int queued = 0;
  if (ioctl(socket, FIONREAD, &queued) != 0) return -errno;
  if (queued == 0) return 0;
  const PeekOffset offset(socket);
  if (offset.error() != 0) return offset.error();
  int at = 0;
  while (at < queued) {
    const int error = offset.Set(at);
    if (error != 0) return error;
    QueuedMessage message;
    int flags = 0;
    const ssize_t got = Peek(socket, static_cast<size_t>(queued - at), message, flags);
    if (got == -EAGAIN || got == 0) return 0;
    if (got < 0) return static_cast<int>(got);
    if ((flags & MSG_CTRUNC) != 0) return -EMFILE;
    message.sender.clear();
    messages.push_back(std::move(message));
    at += static_cast<int>(got);
  }
  return 0;
}

int ReadMessages(int socket, bool may_end, std::vector<QueuedMessage>& messages) {
  pollfd polled{socket, POLLIN, 0};
  if (poll(&polled, 1, 0) < 0) return -errno;
  // recvmsg(2) would take the error away.
  if ((polled.revents & POLLERR) != 0) return -ECONNRESET;
  if ((polled.revents & POLLIN) == 0) return 0;
  const PeekOffset offset(socket);
  if (offset.error() != 0) return offset.error();
  size_t room = kFirstRoom;
  int at = 0;
  int empty = 0;
  for (;;) {
    QueuedMessage message;
    int flags = 0;
    const ssize_t got = Peek(socket, room, message, flags);
    // One that was never connected is ready, too, when it is shut down.
    if (got == -EAGAIN || got == -ENOTCONN) return 0;
    if (got < 0) return static_cast<int>(got);
    if ((flags & MSG_TRUNC) != 0) {
      room *= 2;
      const int error = offset.Set(at);
      if (error != 0) return error;
      continue;
    }
    if ((flags & MSG_CTRUNC) != 0) return -EMFILE;
    at += static_cast<int>(got);
    empty = got == 0 && message.rights.empty() ? empty + 1 : 0;
    messages.push_back(std::move(message));
    if (may_end && empty == kMostEmptyPackets) {
      messages.resize(messages.size() - static_cast<size_t>(empty));
      return 0;
    }
  }
}

}  // namespace

int ReadSocketQueue(int socket, int type, std::vector<QueuedMessage>& messages) {
  return type == SOCK_STREAM ? ReadStream(socket, messages)
                             : ReadMessages(socket, type == SOCK_SEQPACKET, messages);
}

}  // namespace restore
