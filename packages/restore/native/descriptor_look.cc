#include "descriptor_look.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "file_status.h"
#include "unique_fd.h"

namespace restore {
namespace {

constexpr size_t kRoom = 4096;

int ReadAll(const std::string& path, std::string& text) {
  const UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return -errno;
  text.clear();
  for (;;) {
    char room[kRoom];
    const ssize_t got = read(file.get(), room, sizeof room);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) return 0;
    text.append(room, static_cast<size_t>(got));
  }
}

}  // namespace

int LookAtDescriptor(int pid, int descriptor, DescriptorLook& look) {
  const std::string process = "/proc/" + std::to_string(pid);
  const std::string number = std::to_string(descriptor);
  const int error = ReadAll(process + "/fdinfo/" + number, look.info);
  if (error != 0) return error;
  const std::string path = process + "/fd/" + number;
  char room[PATH_MAX + 16];
  const ssize_t length = readlink(path.c_str(), room, sizeof room);
  if (length < 0) return -errno;
  look.link.assign(room, static_cast<size_t>(length));
  return StatusOf(path.c_str(), true, look.status) ? 0 : -errno;
}

}  // namespace restore
