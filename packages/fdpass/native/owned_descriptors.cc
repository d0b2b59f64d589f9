#include "owned_descriptors.h"

#include <unistd.h>

#include "kernel_abi.h"

namespace fdpass {

void CloseAll(const int* descriptors, int count) {
  for (int i = 0; i < count;) {
    int end = i + 1;
    while (end < count && descriptors[end] == descriptors[end - 1] + 1) ++end;
    // Where close_range(2) is not there, or not allowed, nothing was closed.
    if (end - i == 1 || syscall(SYS_close_range, descriptors[i], descriptors[end - 1], 0) != 0) {
      for (int at = i; at < end; ++at) close(descriptors[at]);
    }
    i = end;
  }
}

OwnedDescriptors::~OwnedDescriptors() {
  for (size_t word = 0; word < words_.size(); ++word) {
    for (uint64_t bits = words_[word]; bits != 0; bits &= bits - 1) {
      close(static_cast<int>(word) * kBits + __builtin_ctzll(bits));
    }
  }
}

bool OwnedDescriptors::Add(int descriptor) {
  const auto word = static_cast<size_t>(descriptor / kBits);
  const uint64_t bit = uint64_t{1} << (descriptor % kBits);
  if (word >= words_.size()) words_.resize(word + 1 + words_.size());
  if ((words_[word] & bit) != 0) return false;
  words_[word] |= bit;
  ++count_;
  return true;
}

bool OwnedDescriptors::Remove(int descriptor) {
  if (!Has(descriptor)) return false;
  words_[static_cast<size_t>(descriptor / kBits)] &= ~(uint64_t{1} << (descriptor % kBits));
  --count_;
  return true;
}

bool OwnedDescriptors::Has(int descriptor) const {
  if (descriptor < 0) return false;
  const auto word = static_cast<size_t>(descriptor / kBits);
  return word < words_.size() && (words_[word] >> (descriptor % kBits) & 1) != 0;
}

}  // namespace fdpass
