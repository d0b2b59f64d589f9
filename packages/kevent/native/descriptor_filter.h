// Filters whose idents are descriptors.
#ifndef X_KEVENT_DESCRIPTOR_FILTER_H_
#define X_KEVENT_DESCRIPTOR_FILTER_H_

#include <fcntl.h>

#include <cerrno>
#include <cstdint>

#include "kevent.h"
#include "knote_table.h"

namespace kevent {

// Those that epoll watches.
inline bool IsDescriptorFilter(int16_t filter) {
  return filter == EVFILT_READ || filter == EVFILT_WRITE;
}
inline int WhichOf(int16_t filter) {
  return filter == EVFILT_READ ? DescriptorRecord::kRead : DescriptorRecord::kWrite;
}

// And those that it does not: their knotes are found by name, as other filters' are.
constexpr int16_t kNamedByDescriptor[] = {EVFILT_VNODE, EVFILT_PROCDESC, EVFILT_EMPTY};

inline bool IsNamedByDescriptor(int16_t filter) {
  for (const int16_t named : kNamedByDescriptor) {
    if (filter == named) return true;
  }
  return false;
}

// ENOENT for a knote that is not there; EBADF when the descriptor itself is not.
inline int Absent(int descriptor) {
  return fcntl(descriptor, F_GETFD) < 0 ? errno : ENOENT;
}

}  // namespace kevent

#endif  // X_KEVENT_DESCRIPTOR_FILTER_H_
