// Numbers of the kernel's that the C library's headers do not have, or have only beside what they clash with.
#ifndef X_RESTORE_KERNEL_NUMBERS_H_
#define X_RESTORE_KERNEL_NUMBERS_H_

#include <sys/syscall.h>

#include <cstdint>

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

namespace restore {

inline constexpr unsigned long kSiocUnixFile = 0x89E0;  // SIOCUNIXFILE
inline constexpr unsigned long kSiocGskNs = 0x894C;     // SIOCGSKNS
inline constexpr unsigned long kSiocOutqNsd = 0x894B;   // SIOCOUTQNSD
inline constexpr int kSoPeekOff = 42;
inline constexpr int kScmPidfd = 4;         // SCM_PIDFD
inline constexpr int kKcmpEpollTarget = 7;  // KCMP_EPOLL_TFD

// Of TCP_REPAIR.
inline constexpr int kRepairOn = 1;
inline constexpr int kRepairOffNoProbe = -1;
// Of TCP_REPAIR_QUEUE.
inline constexpr int kReceiveQueue = 1;
inline constexpr int kSendQueue = 2;

}  // namespace restore

#endif  // X_RESTORE_KERNEL_NUMBERS_H_
