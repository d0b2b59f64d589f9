// What fstat(2) tells, and whether two answers are of one file. By statx(2): the C library's fstat has a
// symbol that is newer than Node's.
#ifndef X_KEVENT_FILE_STATUS_H_
#define X_KEVENT_FILE_STATUS_H_

#include <fcntl.h>
#include <sys/stat.h>

namespace kevent {

using FileStatus = struct statx;

// False leaves errno.
inline bool ReadStatus(int descriptor, FileStatus* status) {
  return statx(descriptor, "", AT_EMPTY_PATH, STATX_BASIC_STATS, status) == 0;
}

// Tells a descriptor's file from another that was given the same number later.
inline bool SameFile(const FileStatus& one, const FileStatus& other) {
  return one.stx_ino == other.stx_ino && one.stx_dev_major == other.stx_dev_major &&
         one.stx_dev_minor == other.stx_dev_minor && (one.stx_mode & S_IFMT) == (other.stx_mode & S_IFMT);
}

}  // namespace kevent

#endif  // X_KEVENT_FILE_STATUS_H_
