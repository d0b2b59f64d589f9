// Unix sockets: made, named, connected, accepted, and what the kernel knows of them.
#ifndef X_FDPASS_UNIX_SOCKET_H_
#define X_FDPASS_UNIX_SOCKET_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "descriptor.h"

namespace fdpass {

// All functions return 0 or a negative errno. Descriptors are close-on-exec, and in blocking mode for whoever
// may get them later: nothing here relies on the mode.

int MakeSocket(int type, Descriptor& socket);
int MakePair(int type, Descriptor& first, Descriptor& second);

// Never waits. EAGAIN: the listener's queue is full.
int Connect(int socket, std::string_view name);

// Binds, and for a path whose inode should have fewer permissions than the umask leaves, takes those away
// before the name is there for anybody. `mode` is -1 where the umask decides alone.
int BindWithMode(int socket, std::string_view name, int mode);

// The listener becomes non-blocking: accept4(2) has no flag of its own for that.
int Listen(int socket, int backlog);
int Accept(int listener, Descriptor& socket);

struct SocketStatus {
  int domain = 0;
  int type = 0;
  int protocol = 0;
  bool listening = false;
  bool blocking = true;
};
// ENOTSOCK when it is none.
int StatusOf(int descriptor, SocketStatus& status);

int SetBlocking(int descriptor, bool blocking);
int SetOption(int socket, int option, int value);
int LocalName(int socket, std::string& name);
int PeerName(int socket, std::string& name);

// Bytes that wait to be received, of all messages together.
int Available(int socket);

// Bytes sent that the peer has not received yet, in the kernel's own accounting.
int Unreceived(int socket);

}  // namespace fdpass

#endif  // X_FDPASS_UNIX_SOCKET_H_
