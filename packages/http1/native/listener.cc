#include "listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "descriptor.h"

namespace http1 {

namespace {

// Any address of the families served here; the kernel's calls take it as sockaddr.
union SocketAddress {
  sockaddr any;
  sockaddr_in v4;
  sockaddr_in6 v6;
  sockaddr_un local;
};

struct Bound {
  SocketAddress address{};
  socklen_t size = 0;
};

bool Fail(SystemError& error, const char* syscall, int code) {
  error = {syscall, code};
  return false;
}

bool SetFlag(int fd, int level, int option, SystemError& error) {
  const int on = 1;
  return setsockopt(fd, level, option, &on, sizeof on) == 0 || Fail(error, "setsockopt", errno);
}

bool MakeLocal(const std::string& path, Bound& bound, SystemError& error) {
  sockaddr_un& local = bound.address.local;
  if (path.size() >= sizeof local.sun_path) return Fail(error, "bind", ENAMETOOLONG);
  local.sun_family = AF_UNIX;
  std::memcpy(local.sun_path, path.data(), path.size());
  bound.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return true;
}

bool MakeInternet(const ListenOptions& options, Bound& bound, SystemError& error) {
  const char* const host = options.host.empty() ? "::" : options.host.c_str();
  if (inet_pton(AF_INET, host, &bound.address.v4.sin_addr) == 1) {
    bound.address.v4.sin_family = AF_INET;
    bound.address.v4.sin_port = htons(options.port);
    bound.size = sizeof(sockaddr_in);
    return true;
  }
  bound.address = {};
  if (inet_pton(AF_INET6, host, &bound.address.v6.sin6_addr) != 1) return Fail(error, "bind", EINVAL);
  bound.address.v6.sin6_family = AF_INET6;
  bound.address.v6.sin6_port = htons(options.port);
  bound.size = sizeof(sockaddr_in6);
  return true;
}

bool Configure(int fd, const ListenOptions& options, int family, SystemError& error) {
  if (family == AF_UNIX) return true;
  if (!SetFlag(fd, SOL_SOCKET, SO_REUSEADDR, error)) return false;
  if (options.reuse_port && !SetFlag(fd, SOL_SOCKET, SO_REUSEPORT, error)) return false;
  // Accepted sockets inherit it, which saves a call for each.
  if (!SetFlag(fd, IPPROTO_TCP, TCP_NODELAY, error)) return false;
  const int only = options.host.empty() ? 0 : 1;
  if (family != AF_INET6) return true;
  return setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) == 0 ||
         Fail(error, "setsockopt", errno);
}

bool Describe(const SocketAddress& from, socklen_t size, Address& address, SystemError& error) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (from.any.sa_family) {
    case AF_INET:
      if (inet_ntop(AF_INET, &from.v4.sin_addr, text.data(), text.size()) == nullptr) break;
      address = {text.data(), ntohs(from.v4.sin_port), 4};
      return true;
    case AF_INET6:
      if (inet_ntop(AF_INET6, &from.v6.sin6_addr, text.data(), text.size()) == nullptr) break;
      address = {text.data(), ntohs(from.v6.sin6_port), 6};
      return true;
    case AF_UNIX: {
      const size_t length =
          size > offsetof(sockaddr_un, sun_path) ? size - offsetof(sockaddr_un, sun_path) : 0;
      address = {std::string(from.local.sun_path, strnlen(from.local.sun_path, length)), 0, 0};
      return true;
    }
    default:
      break;
  }
  return Fail(error, "getsockname", EAFNOSUPPORT);
}

}  // namespace

int Listen(const ListenOptions& options, SystemError& error) {
  Bound bound;
  const bool local = !options.path.empty();
  if (!(local ? MakeLocal(options.path, bound, error) : MakeInternet(options, bound, error))) return -1;
  const int family = bound.address.any.sa_family;
  Descriptor socket_fd(socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket_fd.valid()) {
    Fail(error, "socket", errno);
    return -1;
  }
  if (!Configure(socket_fd.get(), options, family, error)) return -1;
  if (bind(socket_fd.get(), &bound.address.any, bound.size) != 0) {
    Fail(error, "bind", errno);
    return -1;
  }
  if (listen(socket_fd.get(), options.backlog) != 0) {
    Fail(error, "listen", errno);
    return -1;
  }
  return socket_fd.Release();
}

bool LocalAddress(int fd, Address& address, SystemError& error) {
  SocketAddress from{};
  socklen_t size = sizeof from;
  if (getsockname(fd, &from.any, &size) != 0) return Fail(error, "getsockname", errno);
  return Describe(from, size, address, error);
}

bool PeerAddress(int fd, Address& address, SystemError& error) {
  SocketAddress from{};
  socklen_t size = sizeof from;
  if (getpeername(fd, &from.any, &size) != 0) return Fail(error, "getpeername", errno);
  return Describe(from, size, address, error);
}

}  // namespace http1
