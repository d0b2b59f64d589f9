// Descriptors that take more than one system call to make.
#pragma once

#include <cstdint>

#include "futex.h"
#include "result.h"

namespace restore {

// Opens /dev/ptmx until the terminal has this index, EBUSY when it is taken. All who do that have one `lock`:
// the kernel gives the lowest free index, and what is opened on the way would be in the way of another.
Result OpenPtmx(int64_t index, int flags, Word& lock, int& master);

// A pidfd, with the flags of pidfd_open(2), of a process that was made for this, has ended and been reaped.
Result OpenDeadPidfd(unsigned flags, int& pidfd);

}  // namespace restore
