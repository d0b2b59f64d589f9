#pragma once

#include <string_view>

#include "head.h"

namespace http1 {

// The fields that decide where a message ends, to whom it goes and what becomes of the connection, collected
// while the head is parsed and judged together when it has ended.
class Framing {
 public:
  // Notes a field. kRefused when it may not stand twice, or is wrong by itself.
  Progress Note(std::string_view name, std::string_view value, uint32_t value_at, Refusal& refusal);

  // Judges the whole head after RFC 9112 sections 3.2, 6 and 9.3 and fills `head`.
  Progress Judge(const HeadLimits& limits, Head& head, Refusal& refusal) const;

 private:
  Progress JudgeHost(Head& head, Refusal& refusal) const;
  Progress JudgeCoding(Head& head, Refusal& refusal) const;
  Progress JudgeLength(const HeadLimits& limits, Head& head, Refusal& refusal) const;
  void NoteConnection(std::string_view value);

  bool has_host_ = false;
  bool has_length_ = false;
  bool has_coding_ = false;
  bool has_expect_ = false;
  bool expects_other_ = false;
  bool close_ = false;
  bool keep_alive_ = false;
  uint32_t host_at_ = 0;
  std::string_view host_;
  std::string_view length_;
  std::string_view coding_;
};

}  // namespace http1
