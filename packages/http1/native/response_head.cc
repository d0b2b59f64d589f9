#include "response_head.h"

#include <array>
#include <charconv>
#include <cstring>
#include <ctime>
#include <memory>
#include <string>

namespace http1 {

namespace {

struct Phrase {
  uint16_t status;
  std::string_view text;
};

// The HTTP Status Code registry without what is unused.
constexpr auto kPhrases = std::to_array<Phrase>({
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {208, "Already Reported"},
    {226, "IM Used"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {305, "Use Proxy"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {407, "Proxy Authentication Required"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {423, "Locked"},
    {424, "Failed Dependency"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {506, "Variant Also Negotiates"},
    {507, "Insufficient Storage"},
    {508, "Loop Detected"},
    {511, "Network Authentication Required"},
});

constexpr uint16_t kFirstStatus = 200;
constexpr uint16_t kLastStatus = 599;

using StatusLines = std::array<std::string, kLastStatus - kFirstStatus + 1>;

std::unique_ptr<StatusLines> MakeStatusLines() {
  auto lines = std::make_unique<StatusLines>();
  for (uint16_t status = kFirstStatus; status <= kLastStatus; ++status) {
    (*lines)[status - kFirstStatus] = "HTTP/1.1 " + std::to_string(status) + " \r\n";
  }
  for (const Phrase& phrase : kPhrases) {
    std::string& line = (*lines)[phrase.status - kFirstStatus];
    line.insert(line.size() - 2, phrase.text);
  }
  return lines;
}

}  // namespace

std::string_view StatusLine(uint16_t status) {
  static const StatusLines* const lines = MakeStatusLines().release();
  const bool known = status >= kFirstStatus && status <= kLastStatus;
  return (*lines)[known ? status - kFirstStatus : 500 - kFirstStatus];
}

void DateLine::Update() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME_COARSE, &now);
  if (now.tv_sec == second_) return;
  second_ = now.tv_sec;
  constexpr std::array<const char*, 7> kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array<const char*, 12> kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  const auto day = static_cast<size_t>(parts.tm_wday) % kDays.size();
  const auto month = static_cast<size_t>(parts.tm_mon) % kMonths.size();
  // The names are not strftime's: those depend on the locale that the process has set.
  char pattern[] = "Date: ddd, %d mmm %Y %H:%M:%S GMT\r\n";
  std::memcpy(pattern + 6, kDays[day], 3);
  std::memcpy(pattern + 14, kMonths[month], 3);
  if (strftime(text_, sizeof text_, pattern, &parts) != kSize) second_ = -1;
}

void HeadWriter::Text(std::string_view text) {
  if (text.size() > capacity_ - size_) {
    overflowed_ = true;
    return;
  }
  std::memcpy(space_ + size_, text.data(), text.size());
  size_ += text.size();
}

void HeadWriter::Number(uint64_t value) {
  std::array<char, 20> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  Text({digits.data(), static_cast<size_t>(end - digits.data())});
}

void WriteRefusal(HeadWriter& writer, const Refusal& refusal, std::string_view date, bool with_body) {
  const std::string_view problem = refusal.problem;
  writer.Text(StatusLine(refusal.status));
  writer.Text(date);
  writer.Text("Content-Type: text/plain; charset=utf-8\r\nContent-Length: ");
  writer.Number(problem.size() + 1);
  writer.Text("\r\nConnection: close\r\n\r\n");
  if (!with_body) return;
  writer.Text(problem);
  writer.Text("\n");
}

}  // namespace http1
