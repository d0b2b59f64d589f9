// Head parser: what it records, that every split gives the same answer, and mutations of good heads.
#include "head_parser.h"

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "check.h"

namespace {

using namespace std::string_view_literals;

using http1::Head;
using http1::HeadLimits;
using http1::Progress;
using http1::Refusal;

constexpr HeadLimits kLimits;

struct Outcome {
  Progress progress = Progress::kPartial;
  Head head;
  Refusal refusal;
  std::vector<int32_t> fields;
};

// Parses a copy that ends where its allocation ends, so that the sanitizer sees each read behind it.
Outcome Parse(std::string_view text) {
  Outcome outcome;
  outcome.fields.resize(size_t{kLimits.fields} * http1::kFieldStride);
  const auto copy = std::make_unique<char[]>(text.size());
  if (!text.empty()) std::memcpy(copy.get(), text.data(), text.size());
  outcome.progress = http1::ParseHead(copy.get(), text.size(), kLimits, 1000, outcome.fields.data(),
                                      outcome.head, outcome.refusal);
  return outcome;
}

std::string_view At(std::string_view text, const http1::Span& span) {
  return text.substr(span.at, span.size);
}

void RecordsSpans() {
  const std::string_view text =
      "POST /p?q=1 HTTP/1.1\r\nHost: example\r\nContent-Length:  7 \r\nX:\r\n\r\nrest";
  const Outcome outcome = Parse(text);
  CHECK(outcome.progress == Progress::kDone);
  CHECK(outcome.head.method == http1::Method::kPost);
  CHECK(At(text, outcome.head.target) == "/p?q=1");
  CHECK(At(text, outcome.head.path) == "/p");
  CHECK(outcome.head.has_query && At(text, outcome.head.query) == "q=1");
  CHECK(At(text, outcome.head.host) == "example");
  CHECK(outcome.head.content_length == 7);
  CHECK(outcome.head.field_count == 3);
  CHECK(outcome.head.size == text.size() - 4);
  CHECK(text.substr(static_cast<size_t>(outcome.fields[6]) - 1000, 1) == "7" && outcome.fields[7] == 1);
  CHECK(outcome.fields[11] == 0);
}

void AnswersEverySplitAlike() {
  const std::string text =
      "\r\nGET http://h:80/a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nA: \xe9\t b\r\n\r\n";
  for (size_t size = 0; size < text.size(); ++size) {
    CHECK(Parse(std::string_view(text).substr(0, size)).progress == Progress::kPartial);
  }
  const Outcome whole = Parse(text);
  CHECK(whole.progress == Progress::kDone && !whole.head.keep_alive);
  CHECK(At(text, whole.head.host) == "h:80");
}

// A refusal of a beginning stands for every continuation, and what is accepted is accepted for what it holds.
void SurvivesMutations() {
  const std::vector<std::string> seeds{
      "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
      "POST /a/b?c=d HTTP/1.1\r\nHost: a:80\r\nContent-Length: 10\r\nUser-Agent: someone\r\n\r\n0123456789",
      "PUT http://[::1]:8080/x HTTP/1.0\r\nConnection: keep-alive, x\r\nAccept: */*\r\n\r\n",
      "PATCH / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
  };
  constexpr std::string_view kBytes = "\0\r\n\t :,;/?#@[]%=azAZ09\x7f\x80\xff"sv;
  std::mt19937 random(20240611);  // NOLINT: the same mutations in every run
  for (int round = 0; round < 60000; ++round) {
    std::string text = seeds[random() % seeds.size()];
    const size_t changes = 1 + random() % 3;
    for (size_t i = 0; i < changes; ++i) {
      const size_t at = random() % text.size();
      const char byte = kBytes[random() % kBytes.size()];
      if (random() % 3 == 0) {
        text.insert(at, 1, byte);
      } else if (random() % 2 == 0) {
        text.erase(at, 1);
      } else {
        text[at] = byte;
      }
    }
    const Outcome whole = Parse(text);
    const Outcome part = Parse(std::string_view(text).substr(0, random() % text.size()));
    if (part.progress == Progress::kRefused) CHECK(whole.progress == Progress::kRefused);
    if (part.progress == Progress::kDone) CHECK(whole.progress == Progress::kDone);
    if (whole.progress == Progress::kDone) {
      CHECK(whole.head.size <= text.size());
      CHECK(std::string_view(text).substr(whole.head.size - 4, 4) == "\r\n\r\n");
      CHECK(whole.head.target.at + whole.head.target.size <= whole.head.size);
    }
    if (whole.progress == Progress::kRefused)
      CHECK(whole.refusal.status >= 400 && *whole.refusal.problem != 0);
  }
}

}  // namespace

int main() {
  RecordsSpans();
  AnswersEverySplitAlike();
  SurvivesMutations();
  return 0;
}
