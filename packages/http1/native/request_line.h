#pragma once

#include "head.h"

namespace http1 {

// Where a parser stands. `begin` is the first byte of the head, `at` the next one to look at.
struct Cursor {
  const char* begin;
  const char* at;
  const char* end;

  [[nodiscard]] uint32_t Position() const { return static_cast<uint32_t>(at - begin); }
};

// Parses "method SP target SP version CRLF" (RFC 9112 section 3).
Progress ParseRequestLine(Cursor& cursor, const HeadLimits& limits, Head& head, Refusal& refusal);

inline Progress Refuse(Refusal& refusal, uint16_t status, const char* problem) {
  refusal = {status, problem};
  return Progress::kRefused;
}

}  // namespace http1
