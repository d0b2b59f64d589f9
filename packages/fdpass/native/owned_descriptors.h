// The descriptors that one thread owns. What is left when the thread ends, however it ends, is closed with
// it.
#ifndef X_FDPASS_OWNED_DESCRIPTORS_H_
#define X_FDPASS_OWNED_DESCRIPTORS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fdpass {

// Closes all of them: runs of numbers that follow each other, as received descriptors mostly do, in one call.
void CloseAll(const int* descriptors, int count);

class OwnedDescriptors {
 public:
  OwnedDescriptors() = default;
  OwnedDescriptors(const OwnedDescriptors&) = delete;
  OwnedDescriptors& operator=(const OwnedDescriptors&) = delete;
  ~OwnedDescriptors();

  // False when it is owned already: a descriptor has one owner.
  bool Add(int descriptor);
  // False when it is not owned here.
  bool Remove(int descriptor);
  bool Has(int descriptor) const;
  size_t count() const { return count_; }

 private:
  static constexpr int kBits = 64;

  std::vector<uint64_t> words_;
  size_t count_ = 0;
};

}  // namespace fdpass

#endif  // X_FDPASS_OWNED_DESCRIPTORS_H_
