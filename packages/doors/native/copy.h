// Copies of calls.
#ifndef X_DOORS_COPY_H_
#define X_DOORS_COPY_H_

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace doors {

// memcpy(3), in parts where that is slow: what the C library takes for more than some 4 KiB (`rep movsb`)
// needs five times as long on some processors (AMD's Zen 3 and 4) when the destination lies a few bytes
// further in its page than the source in its own. Memory of JavaScript does, beside the pages of an area.
inline void Copy(char* to, const char* from, size_t size) {
  constexpr size_t kPart = 2048;
  constexpr uintptr_t kPage = 4096;
  constexpr uintptr_t kNear = 256;
  constexpr size_t kMost = size_t{256} * 1024;  // beyond that memory is slower than either
  const uintptr_t further = (reinterpret_cast<uintptr_t>(to) - reinterpret_cast<uintptr_t>(from)) % kPage;
  if (further > 0 && further < kNear && size <= kMost) {
    for (; size > kPart; size -= kPart, to += kPart, from += kPart) memcpy(to, from, kPart);
  }
  memcpy(to, from, size);
}

}  // namespace doors

#endif  // X_DOORS_COPY_H_
