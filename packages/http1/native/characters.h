#pragma once

#include <array>
#include <cstdint>
#include <string_view>

// Character classes of RFC 9110 and 9112, as tables: one load a byte, no locale.
namespace http1 {

using CharacterClass = std::array<bool, 256>;

// tchar, RFC 9110 section 5.6.2.
inline constexpr CharacterClass kTokenCharacter = [] {
  CharacterClass table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : std::string_view("!#$%&'*+-.^_`|~")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

// What a request target may hold: visible ASCII without '#', for a fragment is never sent (RFC 9112 3.2).
// Characters that RFC 3986 wants escaped but that URL parsers of browsers send as they are stay allowed.
inline constexpr CharacterClass kTargetCharacter = [] {
  CharacterClass table{};
  for (int c = 0x21; c <= 0x7e; ++c) table[c] = c != '#';
  return table;
}();

// reg-name of RFC 3986 without ',', which only a list of hosts would hold.
inline constexpr CharacterClass kHostCharacter = [] {
  CharacterClass table{};
  for (int c = '0'; c <= '9'; ++c) table[c] = true;
  for (int c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (int c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (const char c : std::string_view("-._~!$&'()*+;=")) table[static_cast<uint8_t>(c)] = true;
  return table;
}();

// field-content: HTAB, SP, VCHAR and obs-text (RFC 9110 section 5.5).
inline constexpr CharacterClass kFieldCharacter = [] {
  CharacterClass table{};
  for (int c = 0x20; c <= 0xff; ++c) table[c] = c != 0x7f;
  table['\t'] = true;
  return table;
}();

// Value of a hexadecimal digit, or -1.
inline constexpr std::array<int8_t, 256> kHexDigit = [] {
  std::array<int8_t, 256> table{};
  table.fill(-1);
  for (int c = 0; c < 10; ++c) table['0' + c] = static_cast<int8_t>(c);
  for (int c = 0; c < 6; ++c) {
    table['a' + c] = static_cast<int8_t>(10 + c);
    table['A' + c] = static_cast<int8_t>(10 + c);
  }
  return table;
}();

inline bool In(const CharacterClass& table, char c) {
  return table[static_cast<uint8_t>(c)];
}

inline bool IsBlank(char c) {
  return c == ' ' || c == '\t';
}

inline bool IsDigit(char c) {
  return c >= '0' && c <= '9';
}

// Whether `text` is `lower` in any mixture of cases; `lower` holds letters, digits and '-' only.
inline bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const char folded = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    if (folded != lower[i]) return false;
  }
  return true;
}

}  // namespace http1
