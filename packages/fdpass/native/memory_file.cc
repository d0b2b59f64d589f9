#include "memory_file.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

#include "kernel_abi.h"

namespace fdpass {

int MakeMemoryFile(const char* name, Descriptor& file) {
  // MFD_NOEXEC_SEAL adds F_SEAL_EXEC, and allows the others as MFD_ALLOW_SEALING does.
  file = Descriptor(memfd_create(name, MFD_CLOEXEC | MFD_NOEXEC_SEAL | MFD_ALLOW_SEALING));
  if (!file.valid() && errno == EINVAL)
    file = Descriptor(memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
  return file.valid() ? 0 : -errno;
}

int Seals(int descriptor) {
  const int seals = fcntl(descriptor, F_GET_SEALS);
  return seals < 0 ? -errno : seals;
}

int AddSeals(int descriptor, int seals) {
  return fcntl(descriptor, F_ADD_SEALS, seals) == 0 ? 0 : -errno;
}

}  // namespace fdpass
