// What epoll_event.data carries: descriptor and generation of its record, or one of the queue's own.
#ifndef X_KEVENT_EPOLL_TAG_H_
#define X_KEVENT_EPOLL_TAG_H_

#include <cstdint>

namespace kevent {

// Descriptors are below 2^31, so that these are none.
constexpr uint64_t kWakeTag = ~uint64_t{0};
constexpr uint64_t kMonotonicTag = ~uint64_t{1};
constexpr uint64_t kRealtimeTag = ~uint64_t{2};
constexpr uint64_t kVnodeTag = ~uint64_t{3};
constexpr uint64_t kSignalTag = ~uint64_t{4};
constexpr uint64_t kMountTag = ~uint64_t{5};
constexpr uint64_t kProbeTag = ~uint64_t{6};

// A knote with a registration of its own: its slot is below 2^21, so that it is none of those above either.
constexpr uint64_t kKnoteTag = uint64_t{1} << 63;
inline uint64_t MakeKnoteTag(uint32_t slot, uint32_t generation) {
  return kKnoteTag | uint64_t{slot} << 32 | generation;
}
inline uint32_t TagSlot(uint64_t tag) {
  return static_cast<uint32_t>((tag & ~kKnoteTag) >> 32);
}

inline uint64_t MakeTag(int descriptor, uint32_t generation) {
  return uint64_t{static_cast<uint32_t>(descriptor)} << 32 | generation;
}
inline int TagDescriptor(uint64_t tag) {
  return static_cast<int>(tag >> 32);
}
inline uint32_t TagGeneration(uint64_t tag) {
  return static_cast<uint32_t>(tag);
}

}  // namespace kevent

#endif  // X_KEVENT_EPOLL_TAG_H_
