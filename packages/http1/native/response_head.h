#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "head.h"

namespace http1 {

// "HTTP/1.1 200 OK" with CRLF for a status from 200 to 599; a status without a registered phrase gets none.
std::string_view StatusLine(uint16_t status);

// "Date: …" with CRLF (RFC 9110 section 5.6.7), made anew when the second has changed.
class DateLine {
 public:
  void Update();
  [[nodiscard]] std::string_view Text() const { return {text_, kSize}; }

 private:
  static constexpr size_t kSize = 37;
  int64_t second_ = -1;
  char text_[kSize + 1] = {};
};

// Writes text into a fixed space; what does not fit is left out and Overflowed() says so.
class HeadWriter {
 public:
  HeadWriter(char* space, size_t capacity) : space_(space), capacity_(capacity) {}

  void Text(std::string_view text);
  void Number(uint64_t value);

  [[nodiscard]] size_t Size() const { return size_; }
  [[nodiscard]] bool Overflowed() const { return overflowed_; }

 private:
  char* space_;
  size_t capacity_;
  size_t size_ = 0;
  bool overflowed_ = false;
};

// A complete response that says why a request was refused and that the connection ends.
void WriteRefusal(HeadWriter& writer, const Refusal& refusal, std::string_view date, bool with_body);

}  // namespace http1
