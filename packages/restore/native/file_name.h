// Names of files that descriptors and handles lead to.
#ifndef X_RESTORE_FILE_NAME_H_
#define X_RESTORE_FILE_NAME_H_

#include <sys/stat.h>

#include <cstddef>
#include <string>

namespace restore {

// Each returns 0 or a negative errno. A name ends in " (deleted)" where it leads nowhere any more.

// The file that a handle of name_to_handle_at(2) is of, in the file system that `mount` is in. It needs
// CAP_DAC_READ_SEARCH.
int NameOfHandle(int mount, int type, const void* handle, size_t size, std::string& name);
// The file that a Unix socket was bound to (SIOCUNIXFILE). It needs CAP_NET_ADMIN; ENOENT: it has none.
int NameOfSocketFile(int socket, std::string& name, struct stat& status);

// What a symbolic link that is open (O_PATH | O_NOFOLLOW) says.
int TextOfLink(int link, std::string& text);

}  // namespace restore

#endif  // X_RESTORE_FILE_NAME_H_
