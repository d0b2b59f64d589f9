#include "unix_socket.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>

#include "address.h"

namespace fdpass {
namespace {

int GetOption(int socket, int option, int& value) {
  socklen_t size = sizeof value;
  return getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? 0 : -errno;
}

// Of the socket that has the path, and of nothing else that somebody may have put in its place.
int SetMode(const std::string& path, mode_t mode) {
  const Descriptor socket(open(path.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!socket.valid()) return -errno;
  struct statx status {};
  if (statx(socket.get(), "", AT_EMPTY_PATH, STATX_TYPE, &status) != 0) return -errno;
  if (!S_ISSOCK(status.stx_mode)) return -EADDRINUSE;
  const std::string through = "/proc/self/fd/" + std::to_string(socket.get());
  return chmod(through.c_str(), mode) == 0 ? 0 : -errno;
}

using NameCall = int (*)(int, sockaddr*, socklen_t*);

int AskName(NameCall call, int socket, std::string& name) {
  sockaddr_un address{};
  socklen_t length = sizeof address;
  if (call(socket, reinterpret_cast<sockaddr*>(&address), &length) != 0) return -errno;
  name = NameOf(address, length);
  return 0;
}

}  // namespace

int MakeSocket(int type, Descriptor& socket) {
  socket = Descriptor(::socket(AF_UNIX, type | SOCK_CLOEXEC, 0));
  return socket.valid() ? 0 : -errno;
}

int MakePair(int type, Descriptor& first, Descriptor& second) {
  int ends[2];
  if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return -errno;
  first = Descriptor(ends[0]);
  second = Descriptor(ends[1]);
  return 0;
}

int Connect(int socket, std::string_view name) {
  Address address;
  int error = NameForConnect(name, address);
  if (error == 0) error = SetBlocking(socket, false);
  if (error != 0) return error;
  if (connect(socket, reinterpret_cast<const sockaddr*>(&address.name), address.length) != 0) return -errno;
  return SetBlocking(socket, true);
}

int BindWithMode(int socket, std::string_view name, int mode) {
  const bool with_mode = mode >= 0 && !name.empty() && name[0] != '\0';
  // The kernel makes the name's inode with the permissions of the socket's own, less the umask (af_unix.c).
  if (with_mode && fchmod(socket, static_cast<mode_t>(mode)) != 0) return -errno;
  int error = Bind(socket, name);
  if (error != 0 || !with_mode) return error;
  error = SetMode(std::string(name), static_cast<mode_t>(mode));
  if (error != 0) unlink(std::string(name).c_str());
  return error;
}

int Listen(int socket, int backlog) {
  if (listen(socket, backlog) != 0) return -errno;
  return SetBlocking(socket, false);
}

int Accept(int listener, Descriptor& socket) {
  for (;;) {
    socket = Descriptor(accept4(listener, nullptr, nullptr, SOCK_CLOEXEC));
    if (socket.valid()) return 0;
    // A client that has gone again is none: the next one is asked for.
    if (errno != EINTR && errno != ECONNABORTED) return -errno;
  }
}

int StatusOf(int descriptor, SocketStatus& status) {
  int listening = 0;
  int error = GetOption(descriptor, SO_DOMAIN, status.domain);
  if (error == 0) error = GetOption(descriptor, SO_TYPE, status.type);
  if (error == 0) error = GetOption(descriptor, SO_PROTOCOL, status.protocol);
  if (error == 0) error = GetOption(descriptor, SO_ACCEPTCONN, listening);
  if (error != 0) return error;
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  status.listening = listening != 0;
  status.blocking = (flags & O_NONBLOCK) == 0;
  return 0;
}

int SetBlocking(int descriptor, bool blocking) {
  const int flags = fcntl(descriptor, F_GETFL);
  if (flags < 0) return -errno;
  const int wanted = blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK;
  if (wanted == flags) return 0;
  return fcntl(descriptor, F_SETFL, wanted) == 0 ? 0 : -errno;
}

int SetOption(int socket, int option, int value) {
  return setsockopt(socket, SOL_SOCKET, option, &value, sizeof value) == 0 ? 0 : -errno;
}

int LocalName(int socket, std::string& name) {
  return AskName(&getsockname, socket, name);
}

int PeerName(int socket, std::string& name) {
  return AskName(&getpeername, socket, name);
}

int Available(int socket) {
  int bytes = 0;
  return ioctl(socket, FIONREAD, &bytes) == 0 ? bytes : -errno;
}

int Unreceived(int socket) {
  int bytes = 0;
  return ioctl(socket, SIOCOUTQ, &bytes) == 0 ? bytes : -errno;
}

}  // namespace fdpass
