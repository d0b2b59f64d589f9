// The set of descriptor numbers that are a target in some task: no temporary descriptor may have one of them.
#pragma once

#include <cstddef>
#include <cstdint>

namespace restore {

class NumberSet {
 public:
  NumberSet() = default;
  NumberSet(const uint32_t* words, size_t count) : words_(words), count_(count) {}

  bool Has(int number) const {
    const size_t word = static_cast<size_t>(number) / 32;
    return word < count_ && (words_[word] >> (static_cast<uint32_t>(number) % 32) & 1) != 0;
  }

  // The lowest number that is not in the set and not below `from`.
  int NextOutside(int from) const;

 private:
  const uint32_t* words_ = nullptr;
  size_t count_ = 0;
};

}  // namespace restore
