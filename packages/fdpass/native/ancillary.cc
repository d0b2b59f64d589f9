#include "ancillary.h"

#include <algorithm>
#include <cstring>

namespace fdpass {
namespace {

template <typename T>
T ReadAt(const char* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

char* WriteMessage(char* at, int type, const void* data, size_t length) {
  cmsghdr message{};
  message.cmsg_len = CMSG_LEN(length);
  message.cmsg_level = SOL_SOCKET;
  message.cmsg_type = type;
  memset(at, 0, CMSG_SPACE(length));
  memcpy(at, &message, sizeof message);
  memcpy(at + CMSG_LEN(0), data, length);
  return at + CMSG_SPACE(length);
}

void ParseOne(int type, const char* data, size_t length, Ancillary& ancillary) {
  if (type == SCM_RIGHTS) {
    const size_t room = Ancillary::kRoom - static_cast<size_t>(ancillary.count);
    const size_t count = std::min(length / sizeof(int), room);
    memcpy(ancillary.descriptors + ancillary.count, data, count * sizeof(int));
    ancillary.count += static_cast<int>(count);
  } else if (type == SCM_CREDENTIALS && length >= sizeof(Credentials)) {
    ancillary.credentials = ReadAt<Credentials>(data);
    ancillary.has_credentials = true;
  } else if (type == SCM_PIDFD && length >= sizeof(int)) {
    ancillary.pidfd = ReadAt<int>(data);
  }
}

}  // namespace

// By offsets and not by CMSG_NXTHDR, which looks at the next header before it is known to be there.
void ParseAncillary(const msghdr& header, Ancillary& ancillary) {
  const auto* control = static_cast<const char*>(header.msg_control);
  const size_t end = header.msg_controllen;
  size_t at = 0;
  while (at < end && end - at >= sizeof(cmsghdr)) {
    const auto message = ReadAt<cmsghdr>(control + at);
    const size_t length = message.cmsg_len;
    if (length < CMSG_LEN(0) || length > end - at) return;
    if (message.cmsg_level == SOL_SOCKET) {
      ParseOne(message.cmsg_type, control + at + CMSG_LEN(0), length - CMSG_LEN(0), ancillary);
    }
    at += CMSG_ALIGN(length);
  }
}

void WriteAncillary(msghdr& header, char* control, const int* descriptors, int count,
                    const Credentials* credentials) {
  char* at = control;
  if (count > 0) at = WriteMessage(at, SCM_RIGHTS, descriptors, static_cast<size_t>(count) * sizeof(int));
  if (credentials != nullptr) at = WriteMessage(at, SCM_CREDENTIALS, credentials, sizeof *credentials);
  header.msg_control = at == control ? nullptr : control;
  header.msg_controllen = static_cast<size_t>(at - control);
}

}  // namespace fdpass
