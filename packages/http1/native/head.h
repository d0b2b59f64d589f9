#pragma once

#include <cstdint>

namespace http1 {

// The order is that of METHODS in src/layout.ts.
enum class Method : uint8_t { kGet, kHead, kPost, kPut, kDelete, kOptions, kPatch };

struct HeadLimits {
  uint32_t head = 16 * 1024;
  uint32_t target = 8 * 1024;
  uint32_t fields = 100;
  uint64_t body = 10 * 1024 * 1024;
};

// Why a request is refused. `problem` is a sentence for the client; it points to static memory.
struct Refusal {
  uint16_t status = 0;
  const char* problem = "";
};

enum class Progress : uint8_t { kDone, kPartial, kRefused };

struct Span {
  uint32_t at = 0;
  uint32_t size = 0;
};

// A request head as spans counted from its first byte.
struct Head {
  Method method = Method::kGet;
  bool method_known = false;
  bool minor_zero = false;
  bool keep_alive = true;
  bool chunked = false;
  bool expects_continue = false;
  uint64_t content_length = 0;
  Span target;
  Span path;   // empty: "/"
  Span query;  // from behind the '?'
  Span host;   // authority of the target in absolute-form, else the Host field
  bool has_query = false;
  bool has_authority = false;
  uint32_t field_count = 0;
  uint32_t size = 0;  // with the empty line
};

}  // namespace http1
