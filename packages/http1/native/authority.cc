#include "authority.h"

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

// Inside the brackets: hexadecimal digits, colons, and dots of an embedded IPv4 address.
bool IsAddressLiteral(std::string_view text) {
  if (text.size() < 2 || text.find(':') == std::string_view::npos) return false;
  for (const char c : text) {
    if (kHexDigit[static_cast<uint8_t>(c)] < 0 && c != ':' && c != '.') return false;
  }
  return true;
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
