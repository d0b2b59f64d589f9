// Who is at the other end, and descriptors of processes.
#ifndef X_FDPASS_IDENTITY_H_
#define X_FDPASS_IDENTITY_H_

#include <sys/types.h>

#include "ancillary.h"
#include "descriptor.h"

namespace fdpass {

// Each returns 0 or a negative errno.

// SO_PEERCRED: the process that connected, listened, or made the pair, as it was then.
int PeerCredentials(int socket, Credentials& credentials);
// SO_PEERPIDFD (Linux 6.5): a pidfd of the same process.
int PeerPidfd(int socket, Descriptor& pidfd);
int PidfdOpen(pid_t pid, Descriptor& pidfd);
// A duplicate of another process's descriptor. It needs the rights of ptrace(2).
int PidfdGetfd(int pidfd, int descriptor, Descriptor& duplicate);

}  // namespace fdpass

#endif  // X_FDPASS_IDENTITY_H_
