#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The numbers of the lists that JavaScript and native code share. src/layout.ts holds the same; a test
// compares.
namespace http1::layout {

// A record: one request head that is complete. Positions are counted from the start of the arena.
inline constexpr size_t kRecordStride = 18;
enum RecordField : uint8_t {
  kDescriptor,
  kGeneration,
  kFlags,
  kMethod,
  kStart,  // first byte of the request
  kEnd,    // behind the last byte of body that has arrived
  kTargetAt,
  kTargetSize,
  kPathAt,
  kPathSize,
  kQueryAt,
  kQuerySize,
  kHostAt,
  kHostSize,
  kFieldsAt,  // index of the first number in the list of fields
  kFieldCount,
  kBodyAt,
  kBodySize,
};
enum RecordFlag : int32_t {
  kMinorZero = 1,
  kKeepAlive = 2,
  kHasBody = 4,
  kBodyComplete = 8,
  kExpectsContinue = 16,
  kHasQuery = 32,
  kHasTrailers = 64,  // of a body that is complete
};

// An entry: something to write. `kLengths` are in the list of doubles, kLengthStride an entry.
inline constexpr size_t kEntryStride = 24;
inline constexpr size_t kEntryLines = 12;
enum EntryField : uint8_t {
  kEntryDescriptor,
  kEntryGeneration,
  kEntryKind,
  kEntryFlags,
  kEntryStatus,
  kEntryExtraAt,  // header lines that are not interned, in the out arena
  kEntryExtraSize,
  kEntryBodyAt,  // position in the out arena, or index of a reference, or a file's descriptor
  kEntryBodySize,
  kEntryLineCount,
  kEntryFirstLine,                               // interned lines
  kEntryOutcome = kEntryFirstLine + kEntryLines  // filled by flush()
};
enum EntryKind : int32_t { kResponse, kFinish, kAbort };
enum EntryFlag : int32_t {
  kClose = 1,
  kOwnDate = 2,
  kLength = 4,
  kChunked = 8,
  kBodyInArena = 16,
  kBodyReference = 32,
  kBodyFile = 64,
  kMoreFollows = 128,
};
enum EntryOutcome : int32_t { kDone, kBlocked, kGone };
inline constexpr size_t kLengthStride = 3;
enum LengthField : uint8_t { kContentLength, kBodyProgress, kFileOffset };

enum Control : uint8_t {
  kRearmCount,
  kClosingCount,
  kAcceptErrno,
  kUnfinished,  // entries whose outcome is not kDone, or that are followed by more
  kWantsRoom,   // pipelined requests wait until the arena may be used anew
  kRefusedStatus,
  kBodyDone,  // 1: the body is complete; 2: and trailers can be taken
  kStillBlocked,
  kFirst,         // index of the first record that flush() added
  kYields,        // connections that this engine has yielded so far
  kBacklogEmpty,  // 1: the last accept() has seen it so
  kInHand,        // requests that were delivered and are not answered to their end
  kControlSize,
};

// Nanoseconds up to which a request counts in a bucket; the last bucket has no bound.
inline constexpr std::array<int64_t, 16> kDurationBounds{
    100'000,       250'000,       500'000,       1'000'000,      2'500'000,   5'000'000,
    10'000'000,    25'000'000,    50'000'000,    100'000'000,    250'000'000, 500'000'000,
    1'000'000'000, 2'500'000'000, 5'000'000'000, 10'000'000'000,
};

// Counters, doubles in memory that the caller may share.
enum Counter : uint8_t {
  kRequests,
  kResponses2xx,
  kResponses3xx,
  kResponses4xx,
  kResponses5xx,
  kBytesIn,
  kBytesOut,
  kAccepted,
  kClosed,
  kParseErrors,
  kTimeouts,
  kRefused,        // at the bound of their address
  kDurationSum,    // seconds of all requests that were answered to their end
  kFirstDuration,  // such requests by bucket, each in one
  kCounterSize = kFirstDuration + kDurationBounds.size() + 1,
};

}  // namespace http1::layout
