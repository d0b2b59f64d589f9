#include "start_time.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace restore {
namespace {

// Of the fields behind the name, which ends with the last parenthesis, whatever is in it (proc_pid_stat(5)).
constexpr int kFieldsBefore = 20;

}  // namespace

uint64_t StartTimeIn(const char* text, size_t size) {
  size_t at = size;
  while (at > 0 && text[at - 1] != ')') at--;
  if (at == 0) return 0;
  for (int spaces = 0; at < size && spaces < kFieldsBefore; at++) spaces += text[at] == ' ' ? 1 : 0;
  uint64_t value = 0;
  for (; at < size && text[at] >= '0' && text[at] <= '9'; at++) {
    value = value * 10 + static_cast<uint64_t>(text[at] - '0');
  }
  return value;
}

uint64_t StartTime(pid_t pid) {
  char path[32];
  (void)snprintf(path, sizeof path, "/proc/%d/stat", pid);
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  char text[1024];
  const ssize_t size = read(file, text, sizeof text);
  (void)close(file);  // only read from
  return size > 0 ? StartTimeIn(text, static_cast<size_t>(size)) : 0;
}

}  // namespace restore
