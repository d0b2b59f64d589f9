#include "socket_diagnosis.h"

#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "kernel_numbers.h"
#include "unique_fd.h"

namespace restore {
namespace {

constexpr size_t kRoom = size_t{64} * 1024;
constexpr int kMostAttempts = 8;
constexpr uint16_t kDumpInterrupted = 0x10;  // NLM_F_DUMP_INTR: sockets came or went while it was written

struct Request {
  nlmsghdr header;
  char body[128];
};

// Appends one datagram's messages. 1: more follow, 0: that was all, negative: errno; EINTR asks to begin
// again.
int AppendAnswers(const char* from, size_t size, std::vector<char>& answers) {
  size_t at = 0;
  while (size - at >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    memcpy(&header, from + at, sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > size - at) return -EBADMSG;
    if ((header.nlmsg_flags & kDumpInterrupted) != 0) return -EINTR;
    if (header.nlmsg_type == NLMSG_DONE) return 0;
    if (header.nlmsg_type == NLMSG_ERROR) {
      int error = 0;
      if (header.nlmsg_len < sizeof header + sizeof error) return -EBADMSG;
      memcpy(&error, from + at + sizeof header, sizeof error);
      return error;
    }
    answers.insert(answers.end(), from + at, from + at + header.nlmsg_len);
    answers.resize(answers.size() + (NLMSG_ALIGN(header.nlmsg_len) - header.nlmsg_len));
    at += NLMSG_ALIGN(header.nlmsg_len);
  }
  return 1;
}

int AskOnce(int netlink, const void* request, size_t size, std::vector<char>& answers) {
  Request message{};
  message.header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(size));
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  memcpy(message.body, request, size);
  if (send(netlink, &message, message.header.nlmsg_len, 0) < 0) return -errno;
  std::vector<char> room(kRoom);
  for (;;) {
    const ssize_t got = recv(netlink, room.data(), room.size(), MSG_TRUNC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (static_cast<size_t>(got) > room.size()) return -EMSGSIZE;
    const int more = AppendAnswers(room.data(), static_cast<size_t>(got), answers);
    if (more <= 0) return more;
  }
}

int Ask(int netlink, const void* request, size_t size, std::vector<char>& answers) {
  const size_t begin = answers.size();
  for (int attempt = 0; attempt < kMostAttempts; ++attempt) {
    const int error = AskOnce(netlink, request, size, answers);
    if (error != -EINTR) return error;
    answers.resize(begin);
  }
  return -EAGAIN;
}

int OpenNetlink() {
  return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
}

// A socket belongs to the namespace in which it was made. setns(2) moves the calling thread alone, and that
// is back before anything else runs in it.
int OpenNetlinkInside(int space) {
  const UniqueFd own(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!own.valid()) return -1;
  if (setns(space, CLONE_NEWNET) != 0) return -1;
  const int netlink = OpenNetlink();
  const int error = errno;
  while (setns(own.get(), CLONE_NEWNET) != 0 && errno == EINTR) {
  }
  errno = error;
  return netlink;
}

}  // namespace

int DiagnoseSockets(int inside, const void* request, size_t size, std::vector<char>& answers) {
  if (size > sizeof(Request::body)) return -EINVAL;
  int space = -1;
  if (inside >= 0 && (space = ioctl(inside, kSiocGskNs)) < 0) return -errno;
  const UniqueFd other(space);
  const UniqueFd netlink(inside < 0 ? OpenNetlink() : OpenNetlinkInside(other.get()));
  return netlink.valid() ? Ask(netlink.get(), request, size, answers) : -errno;
}

}  // namespace restore
