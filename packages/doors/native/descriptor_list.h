// Descriptors with one owner, in the order in which they came.
#ifndef X_DOORS_DESCRIPTOR_LIST_H_
#define X_DOORS_DESCRIPTOR_LIST_H_

#include <unistd.h>

#include <cstddef>
#include <utility>
#include <vector>

namespace doors {

class DescriptorList {
 public:
  DescriptorList() = default;
  DescriptorList(const DescriptorList&) = delete;
  DescriptorList& operator=(const DescriptorList&) = delete;
  DescriptorList(DescriptorList&& other) noexcept : numbers_(std::exchange(other.numbers_, {})) {}
  DescriptorList& operator=(DescriptorList&& other) noexcept {
    numbers_.swap(other.numbers_);
    return *this;
  }
  ~DescriptorList() { Close(); }

  void Add(int number) { numbers_.push_back(number); }
  void Close() {
    for (const int number : numbers_) close(number);
    numbers_.clear();
  }
  // They are somebody else's from now on.
  void Release() { numbers_.clear(); }
  const int* data() const { return numbers_.data(); }
  size_t size() const { return numbers_.size(); }

 private:
  std::vector<int> numbers_;
};

}  // namespace doors

#endif  // X_DOORS_DESCRIPTOR_LIST_H_
