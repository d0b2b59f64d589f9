// Names of Unix sockets. A path may be longer than the 107 bytes that a sockaddr_un has room for.
#ifndef X_FDPASS_ADDRESS_H_
#define X_FDPASS_ADDRESS_H_

#include <sys/socket.h>
#include <sys/un.h>

#include <string>
#include <string_view>

#include "descriptor.h"

namespace fdpass {

// Where to connect or send to, for as long as this lives.
struct Address {
  sockaddr_un name;  // NOLINT: its first `length` bytes are set
  socklen_t length = 0;
  Descriptor anchor;  // what a long path is reached through: a directory, or the socket's inode
};

// Names begin with NUL in the abstract name space, as unix(7) and Node have them; all others are paths. Both
// return 0 or a negative errno: ENAMETOOLONG, EINVAL for an empty name or a NUL in a path, or what open(2)
// said of a directory.
int NameForConnect(std::string_view name, Address& address);

// Binds to the name. A path that exists is EADDRINUSE, whatever it is.
int Bind(int socket, std::string_view name);

// The name in an address that the kernel filled; empty when it has none.
std::string NameOf(const sockaddr_un& address, socklen_t length);

}  // namespace fdpass

#endif  // X_FDPASS_ADDRESS_H_
