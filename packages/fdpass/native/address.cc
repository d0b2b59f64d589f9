#include "address.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

namespace fdpass {
namespace {

constexpr size_t kPathOffset = offsetof(sockaddr_un, sun_path);
constexpr size_t kPathRoom = sizeof(sockaddr_un::sun_path) - 1;  // a path ends with NUL
constexpr size_t kAbstractRoom = sizeof(sockaddr_un::sun_path);  // an abstract name does not

void Set(Address& address, std::string_view name, bool ends_with_nul) {
  address.name = {};
  address.name.sun_family = AF_UNIX;
  memcpy(address.name.sun_path, name.data(), name.size());
  address.length = static_cast<socklen_t>(kPathOffset + name.size() + (ends_with_nul ? 1 : 0));
}

int Check(std::string_view name) {
  if (name.empty()) return -EINVAL;
  if (name[0] == '\0') return name.size() > kAbstractRoom ? -ENAMETOOLONG : 0;
  return name.find('\0') == std::string_view::npos ? 0 : -EINVAL;
}

bool Fits(std::string_view name) {
  return name[0] == '\0' || name.size() <= kPathRoom;
}

std::string Through(const Descriptor& anchor) {
  return "/proc/self/fd/" + std::to_string(anchor.get());
}

struct Split {
  std::string directory;
  std::string base;
};

Split SplitPath(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return {".", std::string(path)};
  return {slash == 0 ? "/" : std::string(path.substr(0, slash)), std::string(path.substr(slash + 1))};
}

int OpenPath(const std::string& path, int flags, Descriptor& descriptor) {
  descriptor = Descriptor(open(path.c_str(), O_PATH | O_CLOEXEC | flags));
  return descriptor.valid() ? 0 : -errno;
}

int BindTo(int socket, const Address& address) {
  return bind(socket, reinterpret_cast<const sockaddr*>(&address.name), address.length) == 0 ? 0 : -errno;
}

// The kernel makes the socket's inode under the name it is told, and rename(2) is free to give it any other.
int BindAndRename(int socket, const Descriptor& directory, const std::string& base) {
  const std::string part = ".socket-" + std::to_string(getpid()) + "-" + std::to_string(syscall(SYS_gettid));
  Address address;
  Set(address, Through(directory) + "/" + part, true);
  int error = BindTo(socket, address);
  if (error != 0) return error;
  const long renamed =
      syscall(SYS_renameat2, directory.get(), part.c_str(), directory.get(), base.c_str(), RENAME_NOREPLACE);
  if (renamed == 0) return 0;
  error = errno == EEXIST ? -EADDRINUSE : -errno;
  unlinkat(directory.get(), part.c_str(), 0);
  return error;
}

}  // namespace

int NameForConnect(std::string_view name, Address& address) {
  int error = Check(name);
  if (error != 0) return error;
  if (Fits(name)) {
    Set(address, name, name[0] != '\0');
    return 0;
  }
  error = OpenPath(std::string(name), 0, address.anchor);
  if (error == 0) Set(address, Through(address.anchor), true);
  return error;
}

int Bind(int socket, std::string_view name) {
  int error = Check(name);
  if (error != 0) return error;
  Address address;
  if (Fits(name)) {
    Set(address, name, name[0] != '\0');
    return BindTo(socket, address);
  }
  const Split split = SplitPath(name);
  error = OpenPath(split.directory, O_DIRECTORY, address.anchor);
  if (error != 0) return error;
  const std::string through = Through(address.anchor) + "/" + split.base;
  if (!Fits(through)) return BindAndRename(socket, address.anchor, split.base);
  Set(address, through, true);
  return BindTo(socket, address);
}

std::string NameOf(const sockaddr_un& address, socklen_t length) {
  // The kernel tells of one byte more than there is room for, when a path fills it: the NUL that is not
  // there.
  length = std::min<socklen_t>(length, sizeof(sockaddr_un));
  if (length <= kPathOffset) return {};
  const std::string_view name(address.sun_path, length - kPathOffset);
  return std::string(name[0] == '\0' ? name : name.substr(0, name.find('\0')));
}

}  // namespace fdpass
