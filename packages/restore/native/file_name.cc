#include "file_name.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstring>

#include "file_status.h"
#include "kernel_numbers.h"
#include "unique_fd.h"

namespace restore {
namespace {

int NameOf(const UniqueFd& file, std::string& name) {
  const std::string link = "/proc/self/fd/" + std::to_string(file.get());
  char room[PATH_MAX + 16];
  const ssize_t length = readlink(link.c_str(), room, sizeof room);
  if (length < 0) return -errno;
  name.assign(room, static_cast<size_t>(length));
  return 0;
}

}  // namespace

int NameOfHandle(int mount, int type, const void* handle, size_t size, std::string& name) {
  if (size > MAX_HANDLE_SZ) return -EINVAL;
  alignas(file_handle) char room[sizeof(file_handle) + MAX_HANDLE_SZ];
  auto* whole = reinterpret_cast<file_handle*>(room);
  whole->handle_bytes = static_cast<unsigned>(size);
  whole->handle_type = type;
  memcpy(room + offsetof(file_handle, f_handle), handle, size);
  const UniqueFd file(open_by_handle_at(mount, whole, O_PATH | O_CLOEXEC));
  return file.valid() ? NameOf(file, name) : -errno;
}

int NameOfSocketFile(int socket, std::string& name, struct stat& status) {
  const UniqueFd file(ioctl(socket, kSiocUnixFile, 0));
  if (!file.valid()) return -errno;
  if (!StatusOf(file.get(), status)) return -errno;
  return NameOf(file, name);
}

int TextOfLink(int link, std::string& text) {
  char room[PATH_MAX];
  const ssize_t length = readlinkat(link, "", room, sizeof room);
  if (length < 0) return -errno;
  text.assign(room, static_cast<size_t>(length));
  return 0;
}

}  // namespace restore
