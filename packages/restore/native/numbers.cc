#include "numbers.h"

#include <bit>

namespace restore {

int NumberSet::NextOutside(int from) const {
  size_t word = static_cast<size_t>(from) / 32;
  if (word >= count_) return from;
  // What is below `from` counts as taken.
  uint32_t taken = words_[word] | ((uint32_t{1} << (static_cast<uint32_t>(from) % 32)) - 1);
  while (taken == 0xffffffff) {
    if (++word == count_) return static_cast<int>(word * 32);
    taken = words_[word];
  }
  return static_cast<int>(word * 32) + std::countr_one(taken);
}

}  // namespace restore
