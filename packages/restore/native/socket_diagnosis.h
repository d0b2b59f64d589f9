// sock_diag(7): what the kernel tells of all sockets of a network namespace.
#ifndef X_RESTORE_SOCKET_DIAGNOSIS_H_
#define X_RESTORE_SOCKET_DIAGNOSIS_H_

#include <cstddef>
#include <vector>

namespace restore {

// Sends a request of SOCK_DIAG_BY_FAMILY for all sockets, and appends the answers as they come: netlink
// messages, each with its header, aligned to 4. `inside` is a socket in whose network namespace it asks, from
// a thread of its own; negative for the caller's. 0, or a negative errno.
int DiagnoseSockets(int inside, const void* request, size_t size, std::vector<char>& answers);

}  // namespace restore

#endif  // X_RESTORE_SOCKET_DIAGNOSIS_H_
