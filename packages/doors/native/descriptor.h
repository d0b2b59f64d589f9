// A file descriptor with one owner.
#ifndef X_DOORS_DESCRIPTOR_H_
#define X_DOORS_DESCRIPTOR_H_

#include <unistd.h>

#include <utility>

namespace doors {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }
  ~Descriptor() {
    // Linux releases the number even when close(2) fails; there is nothing to try again.
    if (number_ >= 0) close(number_);
  }

  int get() const { return number_; }
  bool valid() const { return number_ >= 0; }
  // The caller owns it from now on.
  int Release() { return std::exchange(number_, -1); }

 private:
  int number_ = -1;
};

}  // namespace doors

#endif  // X_DOORS_DESCRIPTOR_H_
