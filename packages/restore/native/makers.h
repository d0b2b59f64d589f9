// Descriptors that take more than one system call to make.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "futex.h"
#include "result.h"

namespace restore {

// Opens a multiplexer, /dev/ptmx, until the terminal has this index, EBUSY when it is taken. All who do that
// have one `lock`: the kernel gives the lowest free index, and what is opened on the way would be in the way
// of another.
Result OpenPtmx(const char* path, int64_t index, int flags, Word& lock, int& master);

// A process that was made for this has ended. Its number is nobody else's until it has been waited for.
Result MakeEnded(pid_t& pid);
Result Reap(pid_t pid);

}  // namespace restore
