// Control buffers of any content. The kernel writes them; yet nothing in them may lead the parser out of its
// bounds, or to more descriptors than there is room for.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "address.h"
#include "ancillary.h"

namespace {

void Check(bool holds) {
  if (!holds) abort();
}

void ParseAsTheyAre(const uint8_t* data, size_t size) {
  // A copy of exactly that size, so that the sanitizer sees each byte beyond.
  const auto control = std::make_unique<char[]>(size);
  memcpy(control.get(), data, size);
  msghdr header{};
  header.msg_control = control.get();
  header.msg_controllen = size;
  fdpass::Ancillary ancillary;
  fdpass::ParseAncillary(header, ancillary);
  Check(ancillary.count >= 0 && ancillary.count <= fdpass::Ancillary::kRoom);
  Check(size >= CMSG_LEN(0) + static_cast<size_t>(ancillary.count) * sizeof(int) || ancillary.count == 0);
}

// What is written is read again, and nothing else.
void ReadBack(const uint8_t* data, size_t size) {
  if (size < 1) return;
  const int count = data[0] % (fdpass::kMaxRights + 1);
  int descriptors[fdpass::kMaxRights] = {};
  memcpy(descriptors, data, std::min(size, sizeof descriptors));
  const fdpass::Credentials credentials{1, 2, 3};
  alignas(cmsghdr) char control[fdpass::kControlRoom];
  msghdr header{};
  fdpass::WriteAncillary(header, control, descriptors, count, size % 2 == 0 ? &credentials : nullptr);
  fdpass::Ancillary ancillary;
  fdpass::ParseAncillary(header, ancillary);
  Check(ancillary.count == count && ancillary.has_credentials == (size % 2 == 0));
  Check(memcmp(ancillary.descriptors, descriptors, sizeof(int) * static_cast<size_t>(count)) == 0);
}

void NameAnyAddress(const uint8_t* data, size_t size) {
  sockaddr_un address{};
  const size_t length = std::min(size, sizeof address);
  memcpy(&address, data, length);
  Check(fdpass::NameOf(address, static_cast<socklen_t>(length)).size() <= sizeof address.sun_path);
  fdpass::Address wanted;
  static_cast<void>(fdpass::NameForConnect({reinterpret_cast<const char*>(data), size}, wanted));
  Check(wanted.length <= sizeof(sockaddr_un));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ParseAsTheyAre(data, size);
  ReadBack(data, size);
  NameAnyAddress(data, size);
  return 0;
}
