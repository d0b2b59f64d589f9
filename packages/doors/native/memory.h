// Bytes on the heap with one owner. They are not cleared: who makes them fills them.
#ifndef X_DOORS_MEMORY_H_
#define X_DOORS_MEMORY_H_

#include <cstddef>
#include <cstdlib>
#include <utility>

namespace doors {

class Memory {
 public:
  Memory() = default;
  // Empty where the system has none.
  explicit Memory(size_t size) : bytes_(static_cast<char*>(malloc(size == 0 ? 1 : size))) {}
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Memory(Memory&& other) noexcept : bytes_(std::exchange(other.bytes_, nullptr)) {}
  Memory& operator=(Memory&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Memory() { free(bytes_); }

  char* get() const { return bytes_; }
  bool valid() const { return bytes_ != nullptr; }
  // To be given to free(3).
  char* Release() { return std::exchange(bytes_, nullptr); }

 private:
  char* bytes_ = nullptr;
};

}  // namespace doors

#endif  // X_DOORS_MEMORY_H_
