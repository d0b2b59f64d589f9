// A door's information page: memory that the server writes and all who have the door read, without a call.
#ifndef X_DOORS_INFO_PAGE_H_
#define X_DOORS_INFO_PAGE_H_

#include <cstddef>

namespace doors {

constexpr size_t kInfoPageSize = 4096;

// Makes an empty memory file a page that only this mapping can write: seals forbid to shrink it, which would
// kill whoever reads it, to grow it, and to write by any other way. Returns the page, or null with `error`
// set to a negative errno.
void* MakeInfoPage(int file, int& error);

// Maps another process's page to be read. EINVAL: it is no such file, or could still be shrunk.
const void* MapInfoPage(int file, int& error);

void UnmapInfoPage(const void* page);

}  // namespace doors

#endif  // X_DOORS_INFO_PAGE_H_
