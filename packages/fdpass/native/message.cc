#include "message.h"

#include <cerrno>

namespace fdpass {

ssize_t Send(int socket, const Outgoing& message) {
  alignas(cmsghdr) char control[kControlRoom];
  msghdr header{};
  header.msg_iov = const_cast<iovec*>(message.parts);
  header.msg_iovlen = message.part_count;
  header.msg_name = const_cast<sockaddr_un*>(message.to);
  header.msg_namelen = message.to_length;
  WriteAncillary(header, control, message.descriptors, message.descriptor_count, message.credentials);
  for (;;) {
    const ssize_t sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (errno != EINTR) return -errno;
  }
}

ssize_t Receive(int socket, void* into, size_t room, int flags, bool with_name, Incoming& message) {
  alignas(cmsghdr) char control[kControlRoom];
  iovec part{into, room};
  msghdr header{};
  for (;;) {
    header.msg_iov = &part;
    header.msg_iovlen = 1;
    header.msg_name = with_name ? &message.from : nullptr;
    header.msg_namelen = with_name ? sizeof message.from : 0;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(socket, &header, flags | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (got >= 0) {
      message.flags = header.msg_flags;
      message.from_length = with_name ? header.msg_namelen : 0;
      ParseAncillary(header, message.ancillary);
      return got;
    }
    if (errno != EINTR) return -errno;
  }
}

}  // namespace fdpass
