#pragma once

#include <cstdio>
#include <cstdlib>

namespace http1::test {

[[noreturn]] inline void Fail(const char* file, int line, const char* condition) {
  static_cast<void>(std::fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition));
  std::abort();
}

}  // namespace http1::test

// Ends the test when `condition` does not hold, naming the place.
#define CHECK(condition)                                                 \
  do {                                                                   \
    if (!(condition)) http1::test::Fail(__FILE__, __LINE__, #condition); \
  } while (false)
