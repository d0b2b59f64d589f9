#pragma once

#include <cstdint>

namespace restore {

// How an operation, or a step of one, ended: well when `error` is 0 and the result was the expected one.
struct Result {
  int error = 0;
  uint32_t call = 0;   // number of the system call that failed
  int64_t detail = 0;  // a descriptor's number, or a result that was not expected
  bool unexpected = false;

  bool ok() const { return error == 0 && !unexpected; }

  static Result Failed(long call, int error, int64_t detail = 0) {
    return {.error = error, .call = static_cast<uint32_t>(call), .detail = detail};
  }
};

}  // namespace restore
