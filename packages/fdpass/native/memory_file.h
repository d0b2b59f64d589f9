// Files in memory (memfd_create(2)) and the seals of any file that has them (fcntl(2), F_ADD_SEALS).
#ifndef X_FDPASS_MEMORY_FILE_H_
#define X_FDPASS_MEMORY_FILE_H_

#include "descriptor.h"

namespace fdpass {

// Each returns 0, or what its name says, or a negative errno.

// Sealable, close-on-exec, and not executable where the kernel knows how to say that (6.3).
int MakeMemoryFile(const char* name, Descriptor& file);
// F_SEAL_* of the file. EINVAL when it can have none.
int Seals(int descriptor);
int AddSeals(int descriptor, int seals);

}  // namespace fdpass

#endif  // X_FDPASS_MEMORY_FILE_H_
