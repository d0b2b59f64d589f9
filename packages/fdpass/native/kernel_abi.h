// Numbers of the kernel's that are newer than the C library's headers.
#ifndef X_FDPASS_KERNEL_ABI_H_
#define X_FDPASS_KERNEL_ABI_H_

#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8U
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x10U
#endif

namespace fdpass {

// SCM_MAX_FD of the kernel: the most descriptors that one sendmsg(2) takes.
constexpr int kMaxRights = 253;
// IPPROTO_MPTCP, which some headers have as a macro, some as an enumerator, and some not at all.
constexpr int kProtocolMptcp = 262;

}  // namespace fdpass

#endif  // X_FDPASS_KERNEL_ABI_H_
