// Control messages of a Unix socket: what sendmsg(2) is told beside the bytes, and what recvmsg(2) tells.
#ifndef X_FDPASS_ANCILLARY_H_
#define X_FDPASS_ANCILLARY_H_

#include <sys/socket.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "kernel_abi.h"

namespace fdpass {

struct Credentials {
  pid_t pid;
  uid_t uid;
  gid_t gid;
};

// What came with the bytes. The caller owns the descriptors from the moment this is filled.
struct Ancillary {
  // One more than the kernel sends: the alignment of a control buffer leaves room for it.
  static constexpr int kRoom = kMaxRights + 1;

  int count = 0;
  int descriptors[kRoom];  // NOLINT: the first `count` are set
  bool has_credentials = false;
  Credentials credentials{};
  int pidfd = -1;
};

// Room for all that a message can have: rights, credentials and a pidfd.
constexpr size_t kControlRoom =
    CMSG_SPACE(sizeof(int) * kMaxRights) + CMSG_SPACE(sizeof(Credentials)) + CMSG_SPACE(sizeof(int));

// Reads the control messages of `header`, as recvmsg(2) left it. It trusts no length in them.
void ParseAncillary(const msghdr& header, Ancillary& ancillary);

// Writes control messages for descriptors and credentials into `control` of kControlRoom bytes, and points
// the header to them. `credentials` may be null.
void WriteAncillary(msghdr& header, char* control, const int* descriptors, int count,
                    const Credentials* credentials);

}  // namespace fdpass

#endif  // X_FDPASS_ANCILLARY_H_
