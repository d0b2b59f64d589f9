#include "byte_buffer.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace http1 {

bool ByteBuffer::Append(const char* bytes, size_t size) {
  if (size == 0) return true;
  if (start_ + size_ + size > capacity_) {
    const size_t capacity = std::max(size_ + size, capacity_ / 2 * 3);
    auto* const memory = static_cast<char*>(std::malloc(capacity));
    if (memory == nullptr) return false;
    if (size_ > 0) std::memcpy(memory, memory_ + start_, size_);
    std::free(memory_);
    memory_ = memory;
    start_ = 0;
    capacity_ = capacity;
  }
  std::memcpy(memory_ + start_ + size_, bytes, size);
  size_ += size;
  return true;
}

void ByteBuffer::Consume(size_t size) {
  start_ += size;
  size_ -= size;
  if (size_ == 0) Clear();
}

void ByteBuffer::Clear() {
  std::free(memory_);
  memory_ = nullptr;
  start_ = 0;
  size_ = 0;
  capacity_ = 0;
}

}  // namespace http1
