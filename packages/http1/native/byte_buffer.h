#pragma once

#include <cstddef>

namespace http1 {

// Bytes that are appended at the end and consumed from the front. Holds no memory while it is empty, for most
// connections never need it.
class ByteBuffer {
 public:
  ByteBuffer() = default;
  ~ByteBuffer() { Clear(); }
  ByteBuffer(const ByteBuffer&) = delete;
  ByteBuffer& operator=(const ByteBuffer&) = delete;

  // False when there is no memory; the buffer is then unchanged.
  [[nodiscard]] bool Append(const char* bytes, size_t size);
  void Consume(size_t size);
  void Clear();

  [[nodiscard]] char* data() { return memory_ + start_; }
  [[nodiscard]] size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }

 private:
  char* memory_ = nullptr;
  size_t start_ = 0;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

}  // namespace http1
