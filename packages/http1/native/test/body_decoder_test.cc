// Body decoder: every split of a chunked body gives the same bytes, and mutations never go out of bounds.
#include "body_decoder.h"

#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "check.h"

namespace {

using namespace std::string_view_literals;

using http1::BodyDecoder;
using http1::BodyLimits;
using http1::Refusal;

struct Outcome {
  std::string body;
  std::string trailers;
  size_t consumed = 0;
  bool complete = false;
  uint16_t status = 0;
};

// Decodes in pieces that end at multiples of `piece`.
Outcome Decode(BodyDecoder decoder, std::string_view text, size_t piece, const BodyLimits& limits = {}) {
  Outcome outcome;
  for (size_t at = 0; at < text.size() && !decoder.Complete();) {
    const std::string_view part = text.substr(at, piece);
    const auto copy = std::make_unique<char[]>(part.size());
    std::memcpy(copy.get(), part.data(), part.size());
    Refusal refusal;
    const BodyDecoder::Result result = decoder.Decode(copy.get(), part.size(), limits, refusal);
    if (result.refused) {
      outcome.status = refusal.status;
      return outcome;
    }
    outcome.body.append(copy.get(), result.produced);
    outcome.trailers.append(copy.get() + result.trailers_at, result.trailers_size);
    outcome.consumed += result.consumed;
    at += result.consumed;
  }
  outcome.complete = decoder.Complete();
  return outcome;
}

BodyDecoder Chunked() {
  BodyDecoder decoder;
  decoder.StartChunked();
  return decoder;
}

void DecodesInAnyPieces() {
  const std::string_view text =
      "5;a=\"b\\\"c\" ; d\r\nhello\r\n1\r\n \r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\nGET /";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    const Outcome outcome = Decode(Chunked(), text, piece);
    CHECK(outcome.complete && outcome.body == "hello 0123456789");
    CHECK(outcome.consumed == text.size() - 5);
  }
}

void TellsWhereTrailersAre() {
  const std::string_view text = "5\r\nhello\r\n2;x\r\n !\r\n00\r\nX: y\r\nAb:\r\n\r\nGET /";
  for (size_t piece = 1; piece <= text.size(); ++piece) {
    const Outcome outcome = Decode(Chunked(), text, piece);
    CHECK(outcome.complete && outcome.body == "hello !");
    CHECK(outcome.trailers == "X: y\r\nAb:\r\n");
  }
  CHECK(Decode(Chunked(), "1\r\na\r\n0\r\n\r\n", 3).trailers.empty());
}

void StopsAtTheLength() {
  BodyDecoder decoder;
  decoder.StartLength(5);
  const Outcome outcome = Decode(decoder, "helloGET", 3);
  CHECK(outcome.complete && outcome.body == "hello" && outcome.consumed == 5);
}

void KeepsItsLimits() {
  BodyLimits limits;
  limits.body = 8;
  limits.extensions = 8;
  limits.trailers = 8;
  CHECK(Decode(Chunked(), "8\r\n01234567\r\n0\r\n\r\n", 4, limits).complete);
  CHECK(Decode(Chunked(), "8\r\n01234567\r\n1\r\n0", 4, limits).status == 413);
  CHECK(Decode(Chunked(), "1;aaaaaaaaaa\r\n", 4, limits).status == 413);
  CHECK(Decode(Chunked(), "0\r\nA: bbbbbbbb\r\n", 4, limits).status == 431);
  limits.trailers = 100;
  limits.trailer_fields = 2;
  CHECK(Decode(Chunked(), "0\r\nA: b\r\nA: c\r\n\r\n", 4, limits).complete);
  CHECK(Decode(Chunked(), "0\r\nA: b\r\nA: c\r\nA", 4, limits).status == 431);
  CHECK(Decode(Chunked(), "FFFFFFFFFFFFFFFFF\r\n", 4, limits).status == 400);
}

void SurvivesMutations() {
  const std::string seed = "5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n";
  constexpr std::string_view kBytes = "\0\r\n\t ;=\"\\:0123456789abcdefFx-_\x7f\xff"sv;
  std::mt19937 random(20240612);  // NOLINT: the same mutations in every run
  for (int round = 0; round < 60000; ++round) {
    std::string text = seed;
    for (size_t i = 0; i < 1 + random() % 3; ++i)
      text[random() % text.size()] = kBytes[random() % kBytes.size()];
    const Outcome whole = Decode(Chunked(), text, text.size());
    const Outcome split = Decode(Chunked(), text, 1 + random() % 7);
    CHECK(whole.complete == split.complete && whole.status == split.status);
    if (whole.complete) {
      CHECK(whole.body == split.body && whole.consumed == split.consumed);
      CHECK(whole.trailers == split.trailers);
    }
  }
}

}  // namespace

int main() {
  DecodesInAnyPieces();
  TellsWhereTrailersAre();
  StopsAtTheLength();
  KeepsItsLimits();
  SurvivesMutations();
  return 0;
}
