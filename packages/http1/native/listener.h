#pragma once

#include <cstdint>
#include <string>

namespace http1 {

// A failed system call: which one, and its errno.
struct SystemError {
  const char* syscall = "";
  int code = 0;
};

struct ListenOptions {
  std::string host;  // an address in numbers; empty: all addresses, IPv6 and IPv4
  uint16_t port = 0;
  std::string path;  // not empty: a Unix socket
  int backlog = 511;
  bool reuse_port = false;
};

// Makes a listening socket, non-blocking and CLOEXEC. Returns -1 and fills `error` on failure.
int Listen(const ListenOptions& options, SystemError& error);

struct Address {
  std::string host;  // or the path of a Unix socket
  uint16_t port = 0;
  int family = 0;  // 4, 6, or 0 for a Unix socket
};

// The address of our end, or of the peer's. False and `error` on failure.
bool LocalAddress(int fd, Address& address, SystemError& error);
bool PeerAddress(int fd, Address& address, SystemError& error);

}  // namespace http1
