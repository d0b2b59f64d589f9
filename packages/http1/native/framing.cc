#include "framing.h"

#include "authority.h"
#include "characters.h"
#include "request_line.h"

namespace http1 {

namespace {

std::string_view TrimBlanks(std::string_view text) {
  while (!text.empty() && IsBlank(text.front())) text.remove_prefix(1);
  while (!text.empty() && IsBlank(text.back())) text.remove_suffix(1);
  return text;
}

// Takes the next member off a comma-separated list; empty members are returned as such.
std::string_view TakeMember(std::string_view& list) {
  const size_t comma = list.find(',');
  const std::string_view member = TrimBlanks(list.substr(0, comma));
  list = comma == std::string_view::npos ? std::string_view() : list.substr(comma + 1);
  return member;
}

// Whether any member of the list but the last is `chunked`.
bool ChunkedBeforeLast(std::string_view list) {
  while (!list.empty()) {
    const std::string_view member = TakeMember(list);
    if (!list.empty() && EqualsIgnoringCase(member, "chunked")) return true;
  }
  return false;
}

}  // namespace

void Framing::NoteConnection(std::string_view value) {
  while (!value.empty()) {
    const std::string_view option = TakeMember(value);
    if (EqualsIgnoringCase(option, "close")) close_ = true;
    if (EqualsIgnoringCase(option, "keep-alive")) keep_alive_ = true;
  }
}

Progress Framing::Note(std::string_view name, std::string_view value, uint32_t value_at, Refusal& refusal) {
  // Few lengths matter, so that most fields cost one comparison.
  switch (name.size()) {
    case 4:
      if (!EqualsIgnoringCase(name, "host")) break;
      if (has_host_) return Refuse(refusal, 400, "There is more than one Host field.");
      has_host_ = true;
      host_ = value;
      host_at_ = value_at;
      break;
    case 6:
      if (!EqualsIgnoringCase(name, "expect")) break;
      has_expect_ = true;
      if (!EqualsIgnoringCase(value, "100-continue")) expects_other_ = true;
      break;
    case 10:
      if (EqualsIgnoringCase(name, "connection")) NoteConnection(value);
      break;
    case 14:
      if (!EqualsIgnoringCase(name, "content-length")) break;
      if (has_length_) return Refuse(refusal, 400, "There is more than one Content-Length field.");
      has_length_ = true;
      length_ = value;
      break;
    case 17:
      if (!EqualsIgnoringCase(name, "transfer-encoding")) break;
      if (has_coding_) return Refuse(refusal, 400, "There is more than one Transfer-Encoding field.");
      has_coding_ = true;
      coding_ = value;
      break;
    default:
      break;
  }
  return Progress::kDone;
}

Progress Framing::JudgeHost(Head& head, Refusal& refusal) const {
  if (!has_host_) {
    return head.minor_zero ? Progress::kDone : Refuse(refusal, 400, "The Host field is missing.");
  }
  if (!IsAuthority(host_)) return Refuse(refusal, 400, "The Host field is not a host with an optional port.");
  // The authority of an absolute-form target wins over Host (RFC 9112 section 3.2.2).
  if (!head.has_authority) head.host = {host_at_, static_cast<uint32_t>(host_.size())};
  return Progress::kDone;
}

Progress Framing::JudgeCoding(Head& head, Refusal& refusal) const {
  if (head.minor_zero) return Refuse(refusal, 400, "Transfer-Encoding is not part of HTTP/1.0.");
  if (has_length_) return Refuse(refusal, 400, "Transfer-Encoding and Content-Length exclude each other.");
  if (coding_.empty()) return Refuse(refusal, 400, "The Transfer-Encoding field is empty.");
  if (ChunkedBeforeLast(coding_)) return Refuse(refusal, 400, "The coding chunked is not the last one.");
  if (!EqualsIgnoringCase(coding_, "chunked")) {
    return Refuse(refusal, 501, "Only the transfer coding chunked is implemented here.");
  }
  head.chunked = true;
  return Progress::kDone;
}

Progress Framing::JudgeLength(const HeadLimits& limits, Head& head, Refusal& refusal) const {
  constexpr size_t kMostDigits = 18;  // fits 63 bits
  if (length_.empty()) return Refuse(refusal, 400, "The Content-Length field is empty.");
  uint64_t value = 0;
  for (const char c : length_) {
    if (!IsDigit(c)) return Refuse(refusal, 400, "The Content-Length field is not one decimal number.");
    if (length_.size() <= kMostDigits) value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  if (length_.size() > kMostDigits) return Refuse(refusal, 400, "The Content-Length field is out of range.");
  if (value > limits.body) return Refuse(refusal, 413, "The request body is larger than this server takes.");
  head.content_length = value;
  return Progress::kDone;
}

Progress Framing::Judge(const HeadLimits& limits, Head& head, Refusal& refusal) const {
  Progress progress = JudgeHost(head, refusal);
  if (progress == Progress::kDone && has_coding_) progress = JudgeCoding(head, refusal);
  if (progress == Progress::kDone && has_length_) progress = JudgeLength(limits, head, refusal);
  if (progress != Progress::kDone) return progress;
  // HTTP/1.0 knows no expectations (RFC 9110 section 10.1.1).
  if (has_expect_ && !head.minor_zero) {
    if (expects_other_) return Refuse(refusal, 417, "The only expectation met here is 100-continue.");
    head.expects_continue = head.chunked || head.content_length > 0;
  }
  head.keep_alive = !close_ && (!head.minor_zero || keep_alive_);
  return Progress::kDone;
}

}  // namespace http1
