#pragma once

#include <cstddef>
#include <cstdint>

#include "head.h"

namespace http1 {

struct BodyLimits {
  uint64_t body = 10 * 1024 * 1024;
  uint32_t extensions = 4 * 1024;
  uint32_t trailers = 16 * 1024;
  uint32_t trailer_fields = 100;
};

// Takes the framing off a request body (RFC 9112 sections 6 and 7), byte by byte where it is chunked, so that
// it can stop and go on anywhere. Plain data: a connection's state can be written down and read back.
class BodyDecoder {
 public:
  void StartNone() { *this = BodyDecoder(); }
  void StartLength(uint64_t length);
  void StartChunked();

  [[nodiscard]] bool Complete() const { return state_ == State::kComplete; }
  [[nodiscard]] bool Chunked() const { return chunked_; }
  // Bytes of body still to come: exact for a length, at least for chunks.
  [[nodiscard]] uint64_t Remaining() const { return Complete() ? 0 : remaining_; }

  struct Result {
    size_t consumed = 0;     // bytes taken from `data`; less than `size` only when the body is complete
    size_t produced = 0;     // bytes of body, moved to the start of `data`
    size_t trailers_at = 0;  // where the bytes of trailer lines begin, and how many of them `data` had; body
    size_t trailers_size = 0;  // that is moved never covers them
    bool refused = false;
  };
  // Decodes in place.
  Result Decode(char* data, size_t size, const BodyLimits& limits, Refusal& refusal);

 private:
  enum class State : uint8_t {
    kComplete,
    kLength,
    kSizeStart,
    kSize,
    kExtensionBlank,
    kExtensionStart,
    kExtensionName,
    kExtensionNameBlank,
    kExtensionValueStart,
    kExtensionToken,
    kExtensionQuoted,
    kExtensionEscape,
    kExtensionQuotedEnd,
    kSizeLineFeed,
    kData,
    kDataReturn,
    kDataLineFeed,
    kTrailerStart,
    kTrailerName,
    kTrailerValue,
    kTrailerLineFeed,
    kEndLineFeed,
  };

  bool StepSize(char c, const BodyLimits& limits, Refusal& refusal);
  bool StepExtension(char c, const BodyLimits& limits, Refusal& refusal);
  bool StepTrailer(char c, const BodyLimits& limits, Refusal& refusal);
  bool StepLineEnd(char c, Refusal& refusal);
  bool Step(char c, const BodyLimits& limits, Refusal& refusal);

  State state_ = State::kComplete;
  bool chunked_ = false;
  uint8_t size_digits_ = 0;
  uint32_t extension_bytes_ = 0;
  uint32_t trailer_bytes_ = 0;  // of the lines, without the empty one that ends them
  uint32_t trailer_fields_ = 0;
  uint64_t remaining_ = 0;
  uint64_t total_ = 0;
};

}  // namespace http1
