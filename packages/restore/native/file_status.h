// stat(2) and its kin, by the system call: the library's own functions of these names came with glibc 2.33,
// and the addon has to load where that is not.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace restore {

inline bool StatusOf(int descriptor, struct stat& status) {
  return syscall(SYS_newfstatat, descriptor, "", &status, AT_EMPTY_PATH) == 0;
}

inline bool StatusOf(const char* path, bool follow, struct stat& status) {
  return syscall(SYS_newfstatat, AT_FDCWD, path, &status, follow ? 0 : AT_SYMLINK_NOFOLLOW) == 0;
}

}  // namespace restore
