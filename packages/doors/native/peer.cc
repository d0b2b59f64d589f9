#include "peer.h"

#include <sys/socket.h>
#include <sys/types.h>

#include <cerrno>

namespace doors {
namespace {

#ifndef SO_PEERGROUPS
constexpr int SO_PEERGROUPS = 59;  // Linux 4.13
#endif
#ifndef SO_PEERPIDFD
constexpr int SO_PEERPIDFD = 77;  // Linux 6.5
#endif

// Empty where the kernel tells none.
std::vector<gid_t> GroupsOf(int socket) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int result = getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    if (result != 0 && errno != ERANGE) return {};
    groups.resize(size / sizeof(gid_t));
    if (result == 0) return groups;
  }
}

}  // namespace

int PeerOf(int socket, std::vector<int32_t>& peer) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) return -errno;
  peer = {credentials.pid, static_cast<int32_t>(credentials.uid), static_cast<int32_t>(credentials.gid)};
  for (const gid_t group : GroupsOf(socket)) peer.push_back(static_cast<int32_t>(group));
  return 0;
}

int PeerPidfd(int socket) {
  int pidfd = -1;
  socklen_t size = sizeof pidfd;
  return getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0 ? pidfd : -errno;
}

}  // namespace doors
