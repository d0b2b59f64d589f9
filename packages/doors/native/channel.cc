#include "channel.h"

#include <sys/socket.h>

#include <cerrno>

namespace doors {
namespace {

constexpr int kSendRoom = 1 << 20;

int Option(int socket, int option) {
  int value = -1;
  socklen_t size = sizeof value;
  return getsockopt(socket, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

}  // namespace

int PrepareSocket(int socket) {
  const bool good = Option(socket, SO_DOMAIN) == AF_UNIX && Option(socket, SO_TYPE) == SOCK_SEQPACKET;
  if (!good) return -EPROTOTYPE;
  // The most that this system grants: each time that it is full costs a switch to the other side and back.
  const int room = kSendRoom;
  setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  return 0;
}

}  // namespace doors
