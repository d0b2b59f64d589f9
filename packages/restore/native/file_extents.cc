#include "file_extents.h"

#include <unistd.h>

#include <cerrno>

namespace restore {

int ReadExtents(int file, std::vector<double>& bounds) {
  off_t at = 0;
  for (;;) {
    const off_t begin = lseek(file, at, SEEK_DATA);
    // ENXIO: no data from there on.
    if (begin < 0) return errno == ENXIO ? 0 : -errno;
    const off_t end = lseek(file, begin, SEEK_HOLE);
    if (end < 0) return -errno;
    bounds.push_back(static_cast<double>(begin));
    bounds.push_back(static_cast<double>(end));
    at = end;
  }
}

}  // namespace restore
