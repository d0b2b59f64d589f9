// Where a file has data; between that are holes.
#ifndef X_RESTORE_FILE_EXTENTS_H_
#define X_RESTORE_FILE_EXTENTS_H_

#include <vector>

namespace restore {

// Begin and end of each extent, in ascending order. It moves the offset of `file`, which has a description of
// its own. 0, or a negative errno. A file system that knows no holes has one extent.
int ReadExtents(int file, std::vector<double>& bounds);

}  // namespace restore

#endif  // X_RESTORE_FILE_EXTENTS_H_
