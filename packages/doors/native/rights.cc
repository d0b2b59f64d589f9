#include "rights.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace doors {
namespace {

#ifndef SCM_PIDFD
constexpr int SCM_PIDFD = 0x04;  // Linux 6.5
#endif

struct Credentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

// The client has made the socket, and may have asked for more than rights on the server's end of it.
constexpr size_t kControlRoom =
    CMSG_SPACE(sizeof(int) * kMostRights) + CMSG_SPACE(sizeof(Credentials)) + CMSG_SPACE(sizeof(int));

template <typename T>
T ReadAt(const char* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

int SendPacket(int socket, const Message& message, size_t bytes, size_t count) {
  char header_bytes[kHeaderSize];
  EncodePacket(message.packet, header_bytes);
  iovec parts[] = {{header_bytes, kHeaderSize}, {const_cast<char*>(message.data), bytes}};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostRights)];
  msghdr header{};
  header.msg_iov = parts;
  header.msg_iovlen = bytes == 0 ? 1 : 2;
  if (count > 0) {
    header.msg_control = control;
    header.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    memset(control, 0, header.msg_controllen);
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(rights), message.descriptors, sizeof(int) * count);
  }
  for (;;) {
    if (sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return 0;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace

char* Landing::Gather(size_t size) const {
  const size_t in_tail = std::min(size, tail.iov_len);
  if (in_tail == 0) return scratch;
  memmove(scratch + in_tail, scratch, size - in_tail);
  memcpy(scratch, tail.iov_base, in_tail);
  return scratch;
}

void Arrival::Close() {
  for (uint32_t i = 0; i < count_; ++i) close(descriptors_[i]);
  count_ = 0;
}

// By offsets and not by CMSG_NXTHDR, which looks at the next header before it is known to be there.
void Arrival::Read(const char* control, size_t size) {
  for (size_t at = 0; at < size && size - at >= sizeof(cmsghdr);) {
    const auto message = ReadAt<cmsghdr>(control + at);
    if (message.cmsg_len < CMSG_LEN(0) || message.cmsg_len > size - at) return;
    const char* data = control + at + CMSG_LEN(0);
    const size_t numbers = (message.cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (message.cmsg_level == SOL_SOCKET && message.cmsg_type == SCM_RIGHTS) {
      const size_t count = std::min<size_t>(numbers, kRoom - count_);
      memcpy(descriptors_ + count_, data, count * sizeof(int));
      count_ += static_cast<uint32_t>(count);
    } else if (message.cmsg_level == SOL_SOCKET && message.cmsg_type == SCM_PIDFD && numbers > 0) {
      close(ReadAt<int>(data));  // nobody here has asked for it
    }
    at += CMSG_ALIGN(message.cmsg_len);
  }
}

int Receive(int socket, const Landing& landing, Arrival& arrival) {
  char header_bytes[kHeaderSize];
  alignas(cmsghdr) char control[kControlRoom];
  iovec parts[] = {{header_bytes, kHeaderSize}, {landing.scratch, kMostPacket}, {}};
  if (landing.tail.iov_len > 0) {
    parts[2] = parts[1];
    parts[1] = landing.tail;
  }
  msghdr header{};
  ssize_t got = 0;
  do {
    header.msg_iov = parts;
    header.msg_iovlen = landing.tail.iov_len > 0 ? 3 : 2;
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    got = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got < 0) return -errno;
  arrival.Close();
  arrival.Read(control, header.msg_controllen);
  arrival.lost = (header.msg_flags & MSG_CTRUNC) != 0;
  if (arrival.lost) arrival.Close();
  if (got == 0) return -EPIPE;
  arrival.size = static_cast<size_t>(got) - std::min(static_cast<size_t>(got), kHeaderSize);
  const bool whole = static_cast<size_t>(got) >= kHeaderSize && (header.msg_flags & MSG_TRUNC) == 0 &&
                     arrival.size <= kMostPacket;
  return whole && DecodePacket(header_bytes, arrival.packet) ? 0 : -EPROTO;
}

bool AreDescriptors(const int* descriptors, size_t count) {
  return std::all_of(descriptors, descriptors + count,
                     [](int descriptor) { return fcntl(descriptor, F_GETFD) >= 0; });
}

int Send(int socket, Message& message) {
  do {
    const size_t bytes = std::min(message.length, kPiece);
    const size_t count = std::min<size_t>(message.count, kMostRights);
    const int error = SendPacket(socket, message, bytes, count);
    if (error != 0) return error;
    message.begun = true;
    message.packet.type = Type::kMore;
    message.data += bytes;
    message.length -= bytes;
    message.descriptors += count;
    message.count -= count;
  } while (message.length > 0 || message.count > 0);
  return 0;
}

}  // namespace doors
