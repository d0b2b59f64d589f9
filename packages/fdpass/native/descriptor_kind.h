// What a descriptor refers to.
#ifndef X_FDPASS_DESCRIPTOR_KIND_H_
#define X_FDPASS_DESCRIPTOR_KIND_H_

#include <string>

namespace fdpass {

// One of the names in src/fd-kind.ts, or an empty string with `error` set to a negative errno. Of a kind that
// this package does not know it is "anonymous:" and the kernel's own name; without /proc, just "anonymous:".
std::string KindOf(int descriptor, int& error);

}  // namespace fdpass

#endif  // X_FDPASS_DESCRIPTOR_KIND_H_
