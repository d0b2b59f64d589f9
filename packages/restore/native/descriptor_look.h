// What /proc tells of a descriptor of a process.
#ifndef X_RESTORE_DESCRIPTOR_LOOK_H_
#define X_RESTORE_DESCRIPTOR_LOOK_H_

#include <sys/stat.h>

#include <string>

namespace restore {

struct DescriptorLook {
  std::string info;  // of /proc/PID/fdinfo/N
  std::string link;  // of /proc/PID/fd/N
  struct stat status;
};

// 0, or a negative errno: ENOENT when it has been closed, or the process has ended.
int LookAtDescriptor(int pid, int descriptor, DescriptorLook& look);

}  // namespace restore

#endif  // X_RESTORE_DESCRIPTOR_LOOK_H_
