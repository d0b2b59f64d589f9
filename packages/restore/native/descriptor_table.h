// Where the descriptors of this process are: at their final numbers, or out of the way of all final numbers.
#pragma once

#include "numbers.h"
#include "result.h"

namespace restore {

class DescriptorTable {
 public:
  DescriptorTable() = default;
  explicit DescriptorTable(NumberSet reserved) : reserved_(reserved) {}

  // Sees to it that `descriptor` has no reserved number; it may get another. On failure it is closed.
  Result OutOfTheWay(int& descriptor);
  // Makes another descriptor of it at exactly this number. EBUSY when that is taken, EMFILE when it is above
  // the limit.
  Result Copy(int descriptor, int number, bool cloexec);
  // Gives `descriptor` exactly this number. On failure it is closed.
  Result Move(int& descriptor, int number, bool cloexec);
  // The same, for one that may have that number already: then only the flag is set.
  Result Settle(int& descriptor, int number, bool cloexec);
  // Of two descriptors that came together, each may sit at the number of the other. A number below 0: out of
  // the way.
  Result MovePair(int (&descriptors)[2], const int (&numbers)[2], const bool (&cloexec)[2]);
  // Closes one. The number is free for another one then.
  Result Drop(int descriptor);

 private:
  NumberSet reserved_;
  // No number below it that is not reserved is known to be free: so a search does not begin at 0 each time.
  int cursor_ = 0;
};

}  // namespace restore
