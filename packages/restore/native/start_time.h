#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace restore {

// When a process was started, in ticks since the system's boot, from /proc: with its number it names one
// process for ever. 0 when there is no such process, or no /proc.
uint64_t StartTime(pid_t pid);

// The same from the text of /proc/PID/stat. 0 when it is none.
uint64_t StartTimeIn(const char* text, size_t size);

}  // namespace restore
