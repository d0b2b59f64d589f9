#include "transfer.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace restore {
namespace {

constexpr size_t kMostRights = 253;
constexpr size_t kBufferSize = size_t{64} * 1024;
// Not on the stack: tasks that are forked would all have a stack of this size.
char buffer[kBufferSize];

Result PwriteAll(int descriptor, const char* data, size_t size, off_t to) {
  while (size > 0) {
    const ssize_t done = pwrite(descriptor, data, size, to);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return Result::Failed(SYS_pwrite64, errno);
    data += done;
    to += done;
    size -= static_cast<size_t>(done);
  }
  return {};
}

// Copies [from, end), which is data. `to` below 0: by write(2).
Result CopyData(int descriptor, int file, off_t from, off_t end, off_t to) {
  while (from < end) {
    const auto want = static_cast<size_t>(std::min<off_t>(end - from, kBufferSize));
    const ssize_t got = pread(file, buffer, want, from);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Result::Failed(SYS_pread64, errno);
    if (got == 0) return Result::Failed(SYS_pread64, ENODATA);
    const auto size = static_cast<size_t>(got);
    const Result result =
        to < 0 ? WriteAll(descriptor, buffer, size) : PwriteAll(descriptor, buffer, size, to);
    if (!result.ok()) return result;
    from += got;
    if (to >= 0) to += got;
  }
  return {};
}

// A hole at the end has to be counted in the size.
Result Lengthen(int descriptor, off_t size) {
  struct stat status {};
  if (fstat(descriptor, &status) != 0) return Result::Failed(SYS_fstat, errno);
  if (status.st_size >= size) return {};
  return ftruncate(descriptor, size) == 0 ? Result{} : Result::Failed(SYS_ftruncate, errno);
}

Result CopyWithHoles(int descriptor, int file, off_t from, off_t end, off_t to) {
  const off_t length = end - from;
  for (off_t at = from; at < end;) {
    off_t data = lseek(file, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;       // a hole up to the end
    if (data < 0 && errno == EINVAL) data = at;  // a file system that does not tell
    if (data < 0) return Result::Failed(SYS_lseek, errno);
    if (data >= end) break;
    off_t hole = lseek(file, data, SEEK_HOLE);
    if (hole < 0) hole = end;
    hole = std::min(hole, end);
    const Result result = CopyData(descriptor, file, data, hole, to + (data - from));
    if (!result.ok()) return result;
    at = hole;
  }
  return Lengthen(descriptor, to + length);
}

Result CopyOpened(int descriptor, int file, const FilePart& part, int64_t to) {
  struct stat status {};
  if (fstat(file, &status) != 0) return Result::Failed(SYS_fstat, errno);
  if (part.offset > status.st_size || (part.size >= 0 && part.size > status.st_size - part.offset)) {
    return Result::Failed(SYS_pread64, ENODATA);
  }
  const off_t end = part.size < 0 ? status.st_size : part.offset + part.size;
  return to < 0 ? CopyData(descriptor, file, part.offset, end, -1)
                : CopyWithHoles(descriptor, file, part.offset, end, to);
}

}  // namespace

Result WriteAll(int descriptor, const void* data, size_t size) {
  const char* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t done = write(descriptor, bytes, size);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return Result::Failed(SYS_write, errno);
    bytes += done;
    size -= static_cast<size_t>(done);
  }
  return {};
}

Result CopyFile(int descriptor, const FilePart& part, int64_t to) {
  const int file = open(part.path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0) return Result::Failed(SYS_openat, errno);
  const Result result = CopyOpened(descriptor, file, part, to);
  (void)close(file);  // only read from
  return result;
}

Result Send(int socket, const Letter& letter) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostRights)];
  iovec part{.iov_base = const_cast<void*>(letter.data), .iov_len = letter.size};
  msghdr message{};
  message.msg_name = const_cast<void*>(letter.address);
  message.msg_namelen = letter.address_size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (letter.rights_count > 0) {
    const size_t size = sizeof(int) * letter.rights_count;
    memset(control, 0, sizeof control);
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(header), letter.rights, size);
  }
  for (;;) {
    const ssize_t done = sendmsg(socket, &message, letter.flags | MSG_NOSIGNAL);
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return Result::Failed(SYS_sendmsg, errno);
    // On a stream the rest follows, without the rights, which went with the first byte.
    part.iov_base = static_cast<char*>(part.iov_base) + done;
    part.iov_len -= static_cast<size_t>(done);
    if (part.iov_len == 0) return {};
    message.msg_control = nullptr;
    message.msg_controllen = 0;
  }
}

}  // namespace restore
