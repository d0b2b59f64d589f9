#include "descriptor_table.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace restore {
namespace {

// A descriptor of a description that has another one: what close(2) could tell is not lost.
void CloseDuplicate(int descriptor) {
  (void)close(descriptor);
}

}  // namespace

Result DescriptorTable::OutOfTheWay(int& descriptor) {
  if (!reserved_.Has(descriptor)) return {};
  bool wrapped = cursor_ == 0;
  int candidate = reserved_.NextOutside(cursor_);
  for (;;) {
    const int number = fcntl(descriptor, F_DUPFD_CLOEXEC, candidate);
    if (number < 0) {
      const int error = errno;
      if (!wrapped && (error == EINVAL || error == EMFILE)) {
        wrapped = true;
        candidate = reserved_.NextOutside(0);
        continue;
      }
      CloseDuplicate(descriptor);
      // EINVAL says that there is none below the limit.
      return Result::Failed(SYS_fcntl, error == EINVAL ? EMFILE : error, candidate);
    }
    if (!reserved_.Has(number)) {
      cursor_ = number + 1;
      CloseDuplicate(descriptor);
      descriptor = number;
      return {};
    }
    CloseDuplicate(number);
    candidate = reserved_.NextOutside(number + 1);
  }
}

Result DescriptorTable::Copy(int descriptor, int number, bool cloexec) {
  // Not dup3(2), which would close what is at that number without a word.
  const int made = fcntl(descriptor, cloexec ? F_DUPFD_CLOEXEC : F_DUPFD, number);
  if (made == number) return {};
  if (made < 0) return Result::Failed(SYS_fcntl, errno == EINVAL ? EMFILE : errno, number);
  CloseDuplicate(made);
  return Result::Failed(SYS_fcntl, EBUSY, number);
}

Result DescriptorTable::Move(int& descriptor, int number, bool cloexec) {
  const Result result = Copy(descriptor, number, cloexec);
  CloseDuplicate(descriptor);
  if (result.ok()) {
    if (!reserved_.Has(descriptor)) cursor_ = std::min(cursor_, descriptor);
    descriptor = number;
  }
  return result;
}

Result DescriptorTable::Settle(int& descriptor, int number, bool cloexec) {
  if (descriptor != number) return Move(descriptor, number, cloexec);
  if (fcntl(descriptor, F_SETFD, cloexec ? FD_CLOEXEC : 0) == 0) return {};
  return Result::Failed(SYS_fcntl, errno, number);
}

Result DescriptorTable::MovePair(int (&descriptors)[2], const int (&numbers)[2], const bool (&cloexec)[2]) {
  // The second may be where the first has to go; out of the way it can not be.
  if (descriptors[1] == numbers[0]) {
    const Result result = OutOfTheWay(descriptors[1]);
    if (!result.ok()) return result;
  }
  for (int i = 0; i < 2; i++) {
    // The call could be told of one flag for both.
    if (descriptors[i] == numbers[i] && cloexec[0] == cloexec[1]) continue;
    const Result result =
        numbers[i] < 0 ? OutOfTheWay(descriptors[i]) : Settle(descriptors[i], numbers[i], cloexec[i]);
    if (!result.ok()) return result;
  }
  return {};
}

Result DescriptorTable::Drop(int descriptor) {
  // The number is free even when close(2) was interrupted; what else it says is about data that it could not
  // write.
  if (close(descriptor) != 0 && errno != EINTR) return Result::Failed(SYS_close, errno, descriptor);
  if (!reserved_.Has(descriptor)) cursor_ = std::min(cursor_, descriptor);
  return {};
}

}  // namespace restore
