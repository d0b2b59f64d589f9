#include "descriptor_kind.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>

#include "kernel_abi.h"
#include "unix_socket.h"

namespace fdpass {
namespace {

// What the descriptor's link in /proc says; empty where that cannot be read.
std::string LinkOf(int descriptor) {
  std::array<char, 256> link{};  // the beginning is all that tells kinds apart
  const std::string path = "/proc/self/fd/" + std::to_string(descriptor);
  const ssize_t length = readlink(path.c_str(), link.data(), link.size());
  return {link.data(), static_cast<size_t>(std::max<ssize_t>(length, 0))};
}

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

std::string InternetKind(const SocketStatus& status) {
  // Multipath TCP is TCP to whoever has the descriptor: its calls and its options are the same.
  if (status.type == SOCK_STREAM && (status.protocol == IPPROTO_TCP || status.protocol == kProtocolMptcp)) {
    return status.listening ? "tcp-listener" : "tcp";
  }
  if (status.type == SOCK_DGRAM && status.protocol == IPPROTO_UDP) return "udp";
  return "socket";
}

std::string UnixKind(const SocketStatus& status) {
  const char* end = status.listening ? "-listener" : "";
  if (status.type == SOCK_STREAM) return std::string("unix-stream") + end;
  if (status.type == SOCK_SEQPACKET) return std::string("unix-seqpacket") + end;
  return "unix-dgram";
}

std::string SocketKind(int descriptor, int& error) {
  SocketStatus status;
  error = StatusOf(descriptor, status);
  if (error != 0) return {};
  if (status.domain == AF_UNIX) return UnixKind(status);
  if (status.domain == AF_INET || status.domain == AF_INET6) return InternetKind(status);
  return "socket";
}

// The name after "anon_inode:" is the kernel's, with or without brackets; [timerfd], [pidfd], inotify …
std::string AnonymousKind(std::string_view name) {
  if (StartsWith(name, "[") && name.size() > 1) name = name.substr(1, name.size() - 2);
  constexpr std::array<std::string_view, 9> kKnown = {
      "eventfd", "timerfd", "signalfd", "inotify", "fanotify", "pidfd", "io_uring", "userfaultfd", "bpf-map"};
  if (name == "eventpoll") return "epoll";
  const bool known = std::find(kKnown.begin(), kKnown.end(), name) != kKnown.end();
  return known ? std::string(name) : "anonymous:" + std::string(name);
}

// Files of nsfs say that they are regular; their links are as "net:[4026531840]", which no path looks like.
std::string NamespaceName(std::string_view link) {
  const size_t end = link.find(":[");
  if (end == std::string_view::npos || link.back() != ']') return {};
  const std::string_view name = link.substr(0, end);
  const bool plain =
      std::all_of(name.begin(), name.end(), [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; });
  return plain ? std::string(name) : std::string();
}

std::string FileKind(int descriptor, bool regular) {
  constexpr std::string_view kAnonymous = "anon_inode:";
  const std::string link = LinkOf(descriptor);
  if (StartsWith(link, kAnonymous)) return AnonymousKind(std::string_view(link).substr(kAnonymous.size()));
  if (!regular) return "anonymous:";
  const std::string name = NamespaceName(link);
  if (!name.empty()) return "anonymous:" + name;
  // A file on a disk may be called so too; only one in memory has seals.
  const bool memory = StartsWith(link, "/memfd:") && fcntl(descriptor, F_GET_SEALS) >= 0;
  return memory ? "memfd" : "file";
}

}  // namespace

std::string KindOf(int descriptor, int& error) {
  // statx(2), because fstat is a symbol of newer C libraries than Node needs.
  struct statx status {};
  error = 0;
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0 || statx(descriptor, "", AT_EMPTY_PATH, STATX_TYPE, &status) != 0) {
    error = -errno;
    return {};
  }
  const mode_t mode = status.stx_mode;
  if ((flags & O_PATH) != 0) return "path";
  if (S_ISSOCK(mode)) return SocketKind(descriptor, error);
  if (S_ISFIFO(mode)) return StartsWith(LinkOf(descriptor), "pipe:") ? "pipe" : "fifo";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISBLK(mode)) return "block-device";
  // isatty(3) by its system call: any other errno than ENOTTY (EIO of a hung-up one) is a terminal's too.
  if (S_ISCHR(mode)) {
    termios settings{};
    return tcgetattr(descriptor, &settings) == 0 || errno == EIO ? "tty" : "character-device";
  }
  return FileKind(descriptor, S_ISREG(mode));
}

}  // namespace fdpass
