#include "authority.h"

#include <arpa/inet.h>

#include <array>

#include "characters.h"

namespace http1 {

namespace {

bool IsPort(std::string_view text) {
  constexpr int kGreatest = 65535;
  int value = 0;
  for (const char c : text) {
    if (!IsDigit(c)) return false;
    value = value * 10 + (c - '0');
    if (value > kGreatest) return false;
  }
  return true;
}

// What is inside the brackets: an IPv6 address. IPvFuture of RFC 3986 has no version that could be meant.
bool IsAddressLiteral(std::string_view text) {
  std::array<char, INET6_ADDRSTRLEN> terminated{};
  if (text.size() >= terminated.size()) return false;
  text.copy(terminated.data(), text.size());
  in6_addr address{};
  return inet_pton(AF_INET6, terminated.data(), &address) == 1;
}

// The length of the registered name at the start of `text`; 0 when there is none or an escape is broken.
size_t NameLength(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    if (In(kHostCharacter, text[i])) {
      ++i;
    } else if (text[i] == '%' && i + 2 < text.size() && kHexDigit[static_cast<uint8_t>(text[i + 1])] >= 0 &&
               kHexDigit[static_cast<uint8_t>(text[i + 2])] >= 0) {
      i += 3;
    } else {
      break;
    }
  }
  return i;
}

}  // namespace

bool IsAuthority(std::string_view text) {
  size_t host = 0;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos || !IsAddressLiteral(text.substr(1, close - 1))) return false;
    host = close + 1;
  } else {
    host = NameLength(text);
    if (host == 0) return false;
  }
  if (host == text.size()) return true;
  return text[host] == ':' && IsPort(text.substr(host + 1));
}

}  // namespace http1
