// Who is at the other end of a socket, by the kernel's word.
#ifndef X_DOORS_PEER_H_
#define X_DOORS_PEER_H_

#include <cstdint>
#include <vector>

namespace doors {

// pid, uid, gid, and then the supplementary groups. Returns 0 or a negative errno.
int PeerOf(int socket, std::vector<int32_t>& peer);

// A pidfd of the process, the caller's, or a negative errno. Linux 6.5.
int PeerPidfd(int socket);

}  // namespace doors

#endif  // X_DOORS_PEER_H_
