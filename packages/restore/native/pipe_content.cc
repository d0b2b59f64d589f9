#include "pipe_content.h"

#include <fcntl.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstddef>

#include "unique_fd.h"

namespace restore {
namespace {

// A page of pipe buffers has a byte at least: with as many pages, every buffer of the other pipe finds a
// place.
int MakeAsLarge(int pipe, UniqueFd& reader, UniqueFd& writer) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return -errno;
  reader = UniqueFd(ends[0]);
  writer = UniqueFd(ends[1]);
  const int size = fcntl(pipe, F_GETPIPE_SZ);
  if (size < 0) return -errno;
  if (fcntl(writer.get(), F_GETPIPE_SZ) >= size) return 0;
  return fcntl(writer.get(), F_SETPIPE_SZ, size) < 0 ? -errno : 0;
}

}  // namespace

int ReadPipe(int pipe, PipeContent& content) {
  int queued = 0;
  if (ioctl(pipe, FIONREAD, &queued) != 0) return -errno;
  if (queued == 0) return 0;
  UniqueFd reader;
  UniqueFd writer;
  const int error = MakeAsLarge(pipe, reader, writer);
  if (error != 0) return error;
  if (tee(pipe, writer.get(), static_cast<size_t>(queued), SPLICE_F_NONBLOCK) < 0) {
    return errno == EAGAIN ? 0 : -errno;
  }
  content.bytes.resize(static_cast<size_t>(queued));
  size_t at = 0;
  while (at < content.bytes.size()) {
    const ssize_t got = read(reader.get(), content.bytes.data() + at, content.bytes.size() - at);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    content.packets.push_back(static_cast<int>(got));
    at += static_cast<size_t>(got);
  }
  content.bytes.resize(at);
  return 0;
}

}  // namespace restore
