// The clock that nobody sets.
#ifndef X_DOORS_MONOTONIC_H_
#define X_DOORS_MONOTONIC_H_

#include <time.h>  // NOLINT: timespec of POSIX

#include <cstdint>

namespace doors {

constexpr int64_t kNanosecondsOfMicrosecond = 1000;
constexpr int64_t kNanosecondsOfSecond = 1'000'000'000;

// Nanoseconds.
inline int64_t Now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanosecondsOfSecond + now.tv_nsec;
}

inline timespec TimespecOf(int64_t nanoseconds) {
  return {nanoseconds / kNanosecondsOfSecond, nanoseconds % kNanosecondsOfSecond};
}

}  // namespace doors

#endif  // X_DOORS_MONOTONIC_H_
