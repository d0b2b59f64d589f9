#include "body_decoder.h"

#include <algorithm>
#include <cstring>

#include "characters.h"

namespace http1 {

namespace {

bool Fail(Refusal& refusal, uint16_t status, const char* problem) {
  refusal = {status, problem};
  return false;
}

}  // namespace

void BodyDecoder::StartLength(uint64_t length) {
  *this = BodyDecoder();
  remaining_ = length;
  state_ = length == 0 ? State::kComplete : State::kLength;
}

void BodyDecoder::StartChunked() {
  *this = BodyDecoder();
  chunked_ = true;
  state_ = State::kSizeStart;
}

BodyDecoder::Result BodyDecoder::Decode(char* data, size_t size, const BodyLimits& limits, Refusal& refusal) {
  Result result;
  while (result.consumed < size && state_ != State::kComplete) {
    if (state_ != State::kData && state_ != State::kLength) {
      const uint32_t trailer_bytes = trailer_bytes_;
      if (!Step(data[result.consumed], limits, refusal)) {
        result.refused = true;
        return result;
      }
      if (trailer_bytes_ != trailer_bytes && result.trailers_size++ == 0) {
        result.trailers_at = result.consumed;
      }
      ++result.consumed;
      continue;
    }
    const auto run = static_cast<size_t>(std::min<uint64_t>(remaining_, size - result.consumed));
    if (result.produced != result.consumed) {
      std::memmove(data + result.produced, data + result.consumed, run);
    }
    result.consumed += run;
    result.produced += run;
    remaining_ -= run;
    if (remaining_ == 0) state_ = state_ == State::kData ? State::kDataReturn : State::kComplete;
  }
  return result;
}

bool BodyDecoder::Step(char c, const BodyLimits& limits, Refusal& refusal) {
  switch (state_) {
    case State::kSizeStart:
    case State::kSize:
      return StepSize(c, limits, refusal);
    case State::kTrailerStart:
    case State::kTrailerName:
    case State::kTrailerValue:
    case State::kTrailerLineFeed:
      return StepTrailer(c, limits, refusal);
    case State::kSizeLineFeed:
    case State::kDataReturn:
    case State::kDataLineFeed:
    case State::kEndLineFeed:
      return StepLineEnd(c, refusal);
    default:
      return StepExtension(c, limits, refusal);
  }
}

bool BodyDecoder::StepSize(char c, const BodyLimits& limits, Refusal& refusal) {
  constexpr uint8_t kMostDigits = 15;  // 60 bits; a sender that needs more is out of range anyway
  const int8_t digit = kHexDigit[static_cast<uint8_t>(c)];
  if (digit >= 0) {
    if (++size_digits_ > kMostDigits) return Fail(refusal, 400, "A chunk size is out of range.");
    remaining_ = remaining_ * 16 + static_cast<uint64_t>(digit);
    state_ = State::kSize;
    return true;
  }
  if (state_ == State::kSizeStart) return Fail(refusal, 400, "A chunk does not start with its size.");
  if (remaining_ > limits.body - total_) {
    return Fail(refusal, 413, "The request body is larger than this server takes.");
  }
  if (c == '\r') {
    state_ = State::kSizeLineFeed;
    return true;
  }
  state_ = State::kExtensionBlank;
  return StepExtension(c, limits, refusal);
}

// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ), RFC 9112 section 7.1.1.
bool BodyDecoder::StepExtension(char c, const BodyLimits& limits, Refusal& refusal) {
  if (++extension_bytes_ > limits.extensions)
    return Fail(refusal, 413, "The chunk extensions are too large.");
  const bool token = In(kTokenCharacter, c);
  const bool ends_part = state_ == State::kExtensionName || state_ == State::kExtensionToken ||
                         state_ == State::kExtensionQuotedEnd;
  if (ends_part && c == '\r') {
    state_ = State::kSizeLineFeed;
    return true;
  }
  const bool may_separate =
      ends_part || state_ == State::kExtensionBlank || state_ == State::kExtensionNameBlank;
  if (may_separate && c == ';') {
    state_ = State::kExtensionStart;
    return true;
  }
  switch (state_) {
    case State::kExtensionBlank:
      if (IsBlank(c)) return true;
      break;
    case State::kExtensionStart:
      if (IsBlank(c)) return true;
      if (!token) break;
      state_ = State::kExtensionName;
      return true;
    case State::kExtensionName:
    case State::kExtensionNameBlank:
      if (c == '=') {
        state_ = State::kExtensionValueStart;
        return true;
      }
      if (IsBlank(c)) {
        state_ = State::kExtensionNameBlank;
        return true;
      }
      if (token && state_ == State::kExtensionName) return true;
      break;
    case State::kExtensionValueStart:
      if (IsBlank(c)) return true;
      if (c != '"' && !token) break;
      state_ = c == '"' ? State::kExtensionQuoted : State::kExtensionToken;
      return true;
    case State::kExtensionToken:
      if (token) return true;
      if (!IsBlank(c)) break;
      state_ = State::kExtensionBlank;
      return true;
    case State::kExtensionQuoted:
      if (!In(kFieldCharacter, c)) break;
      if (c == '"') state_ = State::kExtensionQuotedEnd;
      if (c == '\\') state_ = State::kExtensionEscape;
      return true;
    case State::kExtensionEscape:
      if (!In(kFieldCharacter, c)) break;
      state_ = State::kExtensionQuoted;
      return true;
    case State::kExtensionQuotedEnd:
      if (!IsBlank(c)) break;
      state_ = State::kExtensionBlank;
      return true;
    default:
      break;
  }
  return Fail(refusal, 400, "A chunk size is followed by something that is neither an extension nor CRLF.");
}

bool BodyDecoder::StepTrailer(char c, const BodyLimits& limits, Refusal& refusal) {
  if (state_ == State::kTrailerStart && c == '\r') {
    state_ = State::kEndLineFeed;
    return true;
  }
  if (++trailer_bytes_ > limits.trailers) return Fail(refusal, 431, "The trailer fields are too large.");
  if (state_ == State::kTrailerLineFeed) {
    if (c != '\n') return Fail(refusal, 400, "A trailer line does not end in CRLF.");
    state_ = State::kTrailerStart;
    return true;
  }
  if (state_ == State::kTrailerValue) {
    if (c == '\r') {
      state_ = State::kTrailerLineFeed;
    } else if (!In(kFieldCharacter, c)) {
      return Fail(refusal, 400, "A trailer value holds a control character or a bare line feed.");
    }
    return true;
  }
  if (state_ == State::kTrailerName && c == ':') {
    state_ = State::kTrailerValue;
    return true;
  }
  if (!In(kTokenCharacter, c))
    return Fail(refusal, 400, "A trailer line has no name right before its colon.");
  if (state_ == State::kTrailerStart && ++trailer_fields_ > limits.trailer_fields) {
    return Fail(refusal, 431, "There are too many trailer fields.");
  }
  state_ = State::kTrailerName;
  return true;
}

bool BodyDecoder::StepLineEnd(char c, Refusal& refusal) {
  if (c != (state_ == State::kDataReturn ? '\r' : '\n')) {
    return Fail(refusal, 400, "A line or the data of a chunk does not end in CRLF where it should.");
  }
  switch (state_) {
    case State::kDataReturn:
      state_ = State::kDataLineFeed;
      break;
    case State::kDataLineFeed:
      size_digits_ = 0;
      state_ = State::kSizeStart;
      break;
    case State::kSizeLineFeed:
      total_ += remaining_;
      state_ = remaining_ == 0 ? State::kTrailerStart : State::kData;
      break;
    default:
      state_ = State::kComplete;
      break;
  }
  return true;
}

}  // namespace http1
