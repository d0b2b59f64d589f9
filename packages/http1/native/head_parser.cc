#include "head_parser.h"

#include <bit>
#include <cstring>
#include <string_view>

#include "characters.h"
#include "framing.h"
#include "request_line.h"

namespace http1 {

namespace {

static_assert(std::endian::native == std::endian::little, "the scan finds the first byte in the lowest bits");

// Empty lines before a request line (RFC 9112 section 2.2); a client that sends more is not one.
constexpr int kLeadingLines = 2;

constexpr uint64_t kOnes = ~uint64_t{0} / 255;
constexpr uint64_t kHighs = kOnes * 0x80;

// High bits mark bytes that are below 0x20 or 0x7f. Bytes above the lowest mark may be marked wrongly by a
// borrow, so only the lowest mark counts.
uint64_t MarkControls(uint64_t word) {
  const uint64_t below = (word - kOnes * 0x20) & ~word;
  const uint64_t flipped = word ^ (kOnes * 0x7f);
  const uint64_t deletes = (flipped - kOnes) & ~flipped;
  return (below | deletes) & kHighs;
}

// The first byte at or after `at` that a field value may not hold (CR among them), or `end`.
const char* ScanValue(const char* at, const char* end) {
  while (end - at >= 8) {
    uint64_t word = 0;
    std::memcpy(&word, at, sizeof word);
    const uint64_t marks = MarkControls(word);
    if (marks == 0) {
      at += 8;
      continue;
    }
    at += std::countr_zero(marks) / 8;
    if (*at != '\t') return at;
    ++at;
  }
  while (at < end && In(kFieldCharacter, *at)) ++at;
  return at;
}

Progress SkipLeadingLines(Cursor& cursor, Refusal& refusal) {
  for (int lines = 0; cursor.at < cursor.end && *cursor.at == '\r'; ++lines) {
    if (lines == kLeadingLines)
      return Refuse(refusal, 400, "There are too many empty lines before the request.");
    if (cursor.at + 1 == cursor.end) return Progress::kPartial;
    if (cursor.at[1] != '\n') return Refuse(refusal, 400, "A carriage return stands alone.");
    cursor.at += 2;
  }
  return Progress::kDone;
}

struct Field {
  std::string_view name;
  std::string_view value;
};

// Takes "name: value CRLF" (RFC 9112 section 5).
Progress ParseField(Cursor& cursor, Field& field, Refusal& refusal) {
  if (IsBlank(*cursor.at))
    return Refuse(refusal, 400, "A header line starts with a blank; folding is obsolete.");
  const char* at = cursor.at;
  while (at < cursor.end && In(kTokenCharacter, *at)) ++at;
  if (at == cursor.end) return Progress::kPartial;
  if (*at != ':' || at == cursor.at) {
    return Refuse(refusal, 400, "A header line has no name of token characters right before its colon.");
  }
  field.name = {cursor.at, static_cast<size_t>(at - cursor.at)};
  ++at;
  while (at < cursor.end && IsBlank(*at)) ++at;
  const char* const value = at;
  at = ScanValue(at, cursor.end);
  if (at == cursor.end) return Progress::kPartial;
  if (*at != '\r')
    return Refuse(refusal, 400, "A header value holds a control character or a bare line feed.");
  if (at + 1 == cursor.end) return Progress::kPartial;
  if (at[1] != '\n') return Refuse(refusal, 400, "A carriage return stands alone.");
  const char* value_end = at;
  while (value_end > value && IsBlank(value_end[-1])) --value_end;
  field.value = {value, static_cast<size_t>(value_end - value)};
  cursor.at = at + 2;
  return Progress::kDone;
}

void Record(const Field& field, const char* begin, uint32_t base, int32_t* entry) {
  entry[0] = static_cast<int32_t>(base + static_cast<uint32_t>(field.name.data() - begin));
  entry[1] = static_cast<int32_t>(field.name.size());
  entry[2] = static_cast<int32_t>(base + static_cast<uint32_t>(field.value.data() - begin));
  entry[3] = static_cast<int32_t>(field.value.size());
}

// Parses the fields and the empty line behind them.
Progress ParseFields(Cursor& cursor, const HeadLimits& limits, uint32_t base, int32_t* fields, Head& head,
                     Refusal& refusal) {
  Framing framing;
  for (;;) {
    if (cursor.at == cursor.end) return Progress::kPartial;
    if (*cursor.at == '\r') break;
    if (head.field_count == limits.fields) return Refuse(refusal, 431, "There are too many header fields.");
    Field field;
    Progress progress = ParseField(cursor, field, refusal);
    if (progress != Progress::kDone) return progress;
    const auto value_at = static_cast<uint32_t>(field.value.data() - cursor.begin);
    progress = framing.Note(field.name, field.value, value_at, refusal);
    if (progress != Progress::kDone) return progress;
    Record(field, cursor.begin, base, fields + static_cast<size_t>(head.field_count) * kFieldStride);
    ++head.field_count;
  }
  if (cursor.at + 1 == cursor.end) return Progress::kPartial;
  if (cursor.at[1] != '\n') return Refuse(refusal, 400, "A carriage return stands alone.");
  cursor.at += 2;
  if (cursor.Position() > limits.head) return Refuse(refusal, 431, "The header fields are too large.");
  return framing.Judge(limits, head, refusal);
}

}  // namespace

Progress ParseHead(const char* data, size_t size, const HeadLimits& limits, uint32_t base, int32_t* fields,
                   Head& head, Refusal& refusal) {
  head = Head{};
  Cursor cursor{data, data, data + size};
  Progress progress = SkipLeadingLines(cursor, refusal);
  if (progress == Progress::kDone) progress = ParseRequestLine(cursor, limits, head, refusal);
  if (progress == Progress::kDone) progress = ParseFields(cursor, limits, base, fields, head, refusal);
  if (progress == Progress::kPartial && size >= limits.head) {
    return Refuse(refusal, 431, "The header fields are too large.");
  }
  head.size = cursor.Position();
  return progress;
}

}  // namespace http1
