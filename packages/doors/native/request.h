// A call on its way out. It borrows all that it points to.
#ifndef X_DOORS_REQUEST_H_
#define X_DOORS_REQUEST_H_

#include <cstddef>
#include <cstdint>

#include "rights.h"

namespace doors {

struct Request {
  uint32_t sequence = 0;
  const char* data = nullptr;
  size_t length = 0;
  const int* descriptors = nullptr;
  size_t count = 0;

  Message ToMessage() const {
    const Packet packet{Type::kCall, sequence, 0, length, static_cast<uint32_t>(count)};
    return {packet, data, length, descriptors, count, false};
  }
};

}  // namespace doors

#endif  // X_DOORS_REQUEST_H_
