#include "request_line.h"

#include <array>
#include <cstring>
#include <string_view>

#include "authority.h"
#include "characters.h"

namespace http1 {

namespace {

// No method that is registered is longer than 17 characters; a longer token cannot become a known one.
constexpr uint32_t kLongestMethod = 17;

struct MethodName {
  std::string_view name;
  Method method;
};

constexpr std::array<MethodName, 7> kMethods{{
    {"GET", Method::kGet},
    {"HEAD", Method::kHead},
    {"POST", Method::kPost},
    {"PUT", Method::kPut},
    {"DELETE", Method::kDelete},
    {"OPTIONS", Method::kOptions},
    {"PATCH", Method::kPatch},
}};

bool FindMethod(std::string_view name, Head& head) {
  for (const MethodName& known : kMethods) {
    if (known.name == name) {
      head.method = known.method;
      head.method_known = true;
      return true;
    }
  }
  return false;
}

Progress ParseMethod(Cursor& cursor, Head& head, Refusal& refusal) {
  const char* const start = cursor.at;
  const char* at = start;
  while (at < cursor.end && In(kTokenCharacter, *at)) ++at;
  const std::string_view name(start, static_cast<size_t>(at - start));
  if (name.size() > kLongestMethod)
    return Refuse(refusal, 501, "The request method is not implemented here.");
  if (at == cursor.end) return Progress::kPartial;
  if (*at != ' ' || name.empty()) {
    return Refuse(refusal, 400, "The request line does not start with a method and one space.");
  }
  if (!FindMethod(name, head)) return Refuse(refusal, 501, "The request method is not implemented here.");
  cursor.at = at + 1;
  return Progress::kDone;
}

// Length of the scheme with "://" when the target is in absolute-form, else 0.
size_t SchemeLength(std::string_view target) {
  if (target.size() > 7 && EqualsIgnoringCase(target.substr(0, 4), "http") && target.substr(4, 3) == "://") {
    return 7;
  }
  if (target.size() > 8 && EqualsIgnoringCase(target.substr(0, 5), "https") && target.substr(5, 3) == "://") {
    return 8;
  }
  return 0;
}

void SplitQuery(const char* begin, const char* path, const char* end, Head& head) {
  const auto size = static_cast<size_t>(end - path);
  const auto* mark = size == 0 ? nullptr : static_cast<const char*>(std::memchr(path, '?', size));
  const char* const path_end = mark == nullptr ? end : mark;
  head.path = {static_cast<uint32_t>(path - begin), static_cast<uint32_t>(path_end - path)};
  if (mark == nullptr) return;
  head.has_query = true;
  head.query = {static_cast<uint32_t>(mark + 1 - begin), static_cast<uint32_t>(end - mark - 1)};
}

// origin-form, absolute-form, or '*' for OPTIONS; authority-form belongs to CONNECT, which is not
// implemented.
Progress ClassifyTarget(const char* begin, std::string_view target, Head& head, Refusal& refusal) {
  const char* const end = target.data() + target.size();
  if (target.front() == '/') {
    SplitQuery(begin, target.data(), end, head);
    return Progress::kDone;
  }
  if (target == "*") {
    if (head.method != Method::kOptions) return Refuse(refusal, 400, "The target * is for OPTIONS only.");
    SplitQuery(begin, target.data(), end, head);
    return Progress::kDone;
  }
  const size_t scheme = SchemeLength(target);
  if (scheme == 0) return Refuse(refusal, 400, "The request target is neither a path nor an http URI.");
  const std::string_view rest = target.substr(scheme);
  const std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
  if (!IsAuthority(authority)) return Refuse(refusal, 400, "The host in the request target is invalid.");
  head.has_authority = true;
  head.host = {static_cast<uint32_t>(authority.data() - begin), static_cast<uint32_t>(authority.size())};
  SplitQuery(begin, authority.data() + authority.size(), end, head);
  return Progress::kDone;
}

Progress ParseTarget(Cursor& cursor, const HeadLimits& limits, Head& head, Refusal& refusal) {
  const char* const start = cursor.at;
  const char* at = start;
  while (at < cursor.end && In(kTargetCharacter, *at)) ++at;
  const auto size = static_cast<uint32_t>(at - start);
  if (size > limits.target) return Refuse(refusal, 414, "The request target is too long.");
  if (at == cursor.end) return Progress::kPartial;
  if (*at != ' ') return Refuse(refusal, 400, "The request target is not followed by a space and a version.");
  if (size == 0) return Refuse(refusal, 400, "The request target is missing or follows two spaces.");
  head.target = {cursor.Position(), size};
  cursor.at = at + 1;
  return ClassifyTarget(cursor.begin, {start, size}, head, refusal);
}

Progress ParseVersion(Cursor& cursor, Head& head, Refusal& refusal) {
  constexpr std::string_view kName = "HTTP/";
  constexpr size_t kSize = 10;  // "HTTP/1.1\r\n"
  const std::string_view text(cursor.at, static_cast<size_t>(cursor.end - cursor.at));
  if (text.substr(0, kName.size()) != kName.substr(0, text.size())) {
    return Refuse(refusal, 400, "The request line does not end in an HTTP version.");
  }
  if (text.size() < kSize) {
    return text.find('\n') == std::string_view::npos
               ? Progress::kPartial
               : Refuse(refusal, 400, "The request line does not end in an HTTP version and CRLF.");
  }
  if (!IsDigit(text[5]) || text[6] != '.' || !IsDigit(text[7]) || text[8] != '\r' || text[9] != '\n') {
    return Refuse(refusal, 400, "The request line does not end in an HTTP version and CRLF.");
  }
  if (text[5] != '1') return Refuse(refusal, 505, "This server speaks HTTP/1.1 and HTTP/1.0.");
  head.minor_zero = text[7] == '0';
  cursor.at += kSize;
  return Progress::kDone;
}

}  // namespace

Progress ParseRequestLine(Cursor& cursor, const HeadLimits& limits, Head& head, Refusal& refusal) {
  Progress progress = ParseMethod(cursor, head, refusal);
  if (progress == Progress::kDone) progress = ParseTarget(cursor, limits, head, refusal);
  if (progress == Progress::kDone) progress = ParseVersion(cursor, head, refusal);
  return progress;
}

}  // namespace http1
