#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine.h"
#include "head_parser.h"

namespace http1 {

namespace {

// struct kevent as the queue lays it out: ident at 0, filter at 8, flags at 10.
constexpr size_t kEventSize = 32;
constexpr int16_t kFilterRead = -1;
constexpr uint16_t kFlagEnd = 0x8000;

// The most that one recv() asks for, and the room that must be left for one.
constexpr size_t kMostAsked = 64 * 1024;
constexpr size_t kLeastAsked = 32 * 1024;

// Requests start at multiples of this, so that positions of neighbours do not share a cache line.
constexpr size_t kAlignment = 64;

// Keeps what `body` has of trailer lines, which are in `data`. False when there is no memory.
bool KeepTrailers(Connection& connection, const char* data, const BodyDecoder::Result& body) {
  return body.trailers_size == 0 || connection.trailers.Append(data + body.trailers_at, body.trailers_size);
}

bool IsHeadMethod(const Head& head) {
  return head.method_known && head.method == Method::kHead;
}

}  // namespace

uint32_t Engine::Read(const char* events, uint32_t count) {
  StartLists();
  // One look at the clock for all requests of the batch.
  began_ = MonotonicNanoseconds();
  record_count_ = 0;
  memory_.control[layout::kFirst] = 0;
  arena_used_ = 0;
  fields_used_ = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const char* const event = events + i * kEventSize;
    int16_t filter = 0;
    uint16_t flags = 0;
    int32_t fd = 0;
    std::memcpy(&filter, event + 8, sizeof filter);
    if (filter != kFilterRead) continue;
    std::memcpy(&fd, event, sizeof fd);
    std::memcpy(&flags, event + 10, sizeof flags);
    Connection* const connection = ConnectionTable::Shared().Find(fd);
    if (connection != nullptr) ReadOne(fd, *connection, (flags & kFlagEnd) != 0);
  }
  return record_count_;
}

void Engine::ReadOne(int fd, Connection& connection, bool flagged_end) {
  if (flagged_end) connection.at_end = true;
  switch (connection.CurrentPhase()) {
    case Phase::kIdle:
    case Phase::kHead:
      ReadRequest(fd, connection);
      break;
    case Phase::kDraining:
    case Phase::kLingering:
      ReadAndDrop(fd, connection);
      break;
    case Phase::kHandling:
    case Phase::kWriting:
    case Phase::kClosing:
    case Phase::kYielded:
    case Phase::kFree:
      break;
  }
}

// recv() that notes whether the socket has been emptied. 0 is the end, or -errno.
ssize_t Engine::Receive(int fd, Connection& connection, char* into, size_t size) {
  ssize_t got = 0;
  do {
    got = recv(fd, into, size, MSG_DONTWAIT);
  } while (got < 0 && errno == EINTR);
  if (got < 0) {
    connection.drained = errno == EAGAIN;
    return -errno;
  }
  connection.drained = static_cast<size_t>(got) < size;
  if (got == 0) connection.at_end = true;
  connection.bytes_in += static_cast<uint64_t>(got);
  memory_.counters[layout::kBytesIn] += static_cast<double>(got);
  return got;
}

void Engine::ReadRequest(int fd, Connection& connection) {
  const size_t kept = connection.input.size();
  if (!HasRoom(kept + kLeastAsked)) {
    connection.drained = false;
    if (connection.IsUnparsed()) {
      // No event would tell of it again. Relaxed: it cannot change while this thread has the connection.
      postponed_.push_back({fd, connection.generation.load(std::memory_order_relaxed)});
      return;
    }
    Rearm(fd, connection);
    return;
  }
  char* const data = memory_.arena + arena_used_;
  const size_t asked = std::min(memory_.arena_size - arena_used_ - kept, kMostAsked);
  const uint64_t noted = connection.NotedWord();
  // Before anything is read, for this process may be killed at any time.
  connection.Note(Standing::kInHand);
  ssize_t got = Receive(fd, connection, data + kept, asked);
  // What came from another process may be whole already, also when the client sends nothing any more.
  const bool whole = connection.IsUnparsed() && (got == -EAGAIN || got == 0);
  connection.SetUnparsed(false);
  if (whole) got = 0;
  if (got == -EAGAIN) {
    connection.NoteWord(noted);
    Rearm(fd, connection);
    return;
  }
  if (got <= 0 && !whole) {
    ListClosing(fd, connection);
    return;
  }
  if (kept > 0) {
    std::memcpy(data, connection.input.data(), kept);
    connection.input.Clear();
  }
  TakeRequest(fd, connection, data, kept + static_cast<size_t>(got));
  // It was not whole, and nothing more had come.
  if (whole && connection.CurrentPhase() == Phase::kHead) connection.NoteWord(noted);
}

// Parses the request at `data`, the unused part of the arena, and keeps what follows it.
void Engine::TakeRequest(int fd, Connection& connection, char* data, size_t size) {
  Head head;
  Refusal refusal;
  const auto at = static_cast<uint32_t>(arena_used_);
  const Progress progress =
      ParseHead(data, size, limits_.head, at, memory_.fields + fields_used_, head, refusal);
  if (progress == Progress::kPartial) {
    KeepPartial(fd, connection, data, size);
    return;
  }
  BodyDecoder::Result body;
  if (progress == Progress::kRefused ||
      !StartBody(connection, head, data + head.size, size - head.size, body, refusal)) {
    Refuse(fd, connection, refusal, !IsHeadMethod(head));
    return;
  }
  const size_t taken = head.size + body.consumed;
  if (taken < size && !connection.input.Append(data + taken, size - taken)) {
    ListClosing(fd, connection);
    return;
  }
  Deliver(fd, connection, head, at, body);
}

// Decodes in place what has arrived of the body. False and `refusal` when it is malformed.
bool Engine::StartBody(Connection& connection, const Head& head, char* data, size_t size,
                       BodyDecoder::Result& result, Refusal& refusal) const {
  if (head.chunked) {
    connection.body.StartChunked();
  } else {
    connection.body.StartLength(head.content_length);
  }
  result = connection.body.Decode(data, size, limits_.body, refusal);
  if (result.refused || KeepTrailers(connection, data, result)) return !result.refused;
  refusal = {503, "There is no memory for the trailer fields."};
  return false;
}

void Engine::KeepPartial(int fd, Connection& connection, const char* data, size_t size) {
  if (connection.at_end && connection.drained) {
    ListClosing(fd, connection);
    return;
  }
  if (!connection.input.Append(data, size)) {
    ListClosing(fd, connection);
    return;
  }
  // The time for a head runs from its first byte; further bytes do not prolong it.
  if (connection.CurrentPhase() != Phase::kHead) connection.SetPhase(Phase::kHead, now_ + timeouts_.head);
  Rearm(fd, connection);
}

// Makes the record of a request whose head starts at `at` in the arena, with its first body bytes behind it.
void Engine::Deliver(int fd, Connection& connection, const Head& head, uint32_t at,
                     const BodyDecoder::Result& body) {
  connection.SetOwner(id_);
  connection.keep_alive = head.keep_alive && connection.requests + 1 < limits_.requests;
  connection.minor_zero = head.minor_zero;
  connection.head_method = head.method == Method::kHead;
  connection.response_started = false;
  connection.body_waiting = false;
  connection.thrown_away = 0;
  connection.SetPhase(Phase::kHandling, kNoDeadline);
  TakeInHand(connection);
  // In a flush only requests of a pipeline begin.
  if (began_ == 0) began_ = MonotonicNanoseconds();
  connection.started = began_;
  const bool has_body = head.chunked || head.content_length > 0;
  // A client that has begun to send the body does not wait for permission (RFC 9110 section 10.1.1).
  connection.expects_continue = head.expects_continue && body.consumed == 0;
  const auto start = static_cast<int32_t>(at);
  const int32_t head_end = start + static_cast<int32_t>(head.size);
  const auto produced = static_cast<int32_t>(body.produced);
  int32_t flags = 0;
  if (head.minor_zero) flags |= layout::kMinorZero;
  if (head.keep_alive) flags |= layout::kKeepAlive;
  if (has_body) flags |= layout::kHasBody;
  if (connection.body.Complete()) flags |= layout::kBodyComplete;
  if (connection.expects_continue) flags |= layout::kExpectsContinue;
  if (head.has_query) flags |= layout::kHasQuery;
  if (connection.body.Complete() && !connection.trailers.empty()) flags |= layout::kHasTrailers;
  int32_t* const record = memory_.records + record_count_ * layout::kRecordStride;
  record[layout::kDescriptor] = fd;
  // Relaxed: it cannot change while this thread has the connection.
  record[layout::kGeneration] = static_cast<int32_t>(connection.generation.load(std::memory_order_relaxed));
  record[layout::kFlags] = flags;
  record[layout::kMethod] = static_cast<int32_t>(head.method);
  record[layout::kStart] = start;
  record[layout::kEnd] = head_end + produced;
  const auto place = [&](layout::RecordField field, const Span& span) {
    record[field] = start + static_cast<int32_t>(span.at);
    record[field + 1] = static_cast<int32_t>(span.size);
  };
  place(layout::kTargetAt, head.target);
  place(layout::kPathAt, head.path);
  place(layout::kQueryAt, head.query);
  place(layout::kHostAt, head.host);
  record[layout::kFieldsAt] = static_cast<int32_t>(fields_used_);
  record[layout::kFieldCount] = static_cast<int32_t>(head.field_count);
  record[layout::kBodyAt] = head_end;
  record[layout::kBodySize] = produced;
  ++record_count_;
  fields_used_ += static_cast<size_t>(head.field_count) * kFieldStride;
  const size_t used = arena_used_ + head.size + body.produced + kAlignment - 1;
  arena_used_ = std::min(used / kAlignment * kAlignment, memory_.arena_size);
  memory_.counters[layout::kRequests] += 1;
}

// Parses the request at the start of the kept input, after the one before it has been answered. kBlocked:
// held-back responses must be written first, and the socket takes no more.
Engine::Sent Engine::ParseKept(int fd, Connection& connection) {
  const size_t size = connection.input.size();
  if (!HasRoom(size)) {
    // Relaxed: it cannot change while this thread has the connection.
    postponed_.push_back({fd, connection.generation.load(std::memory_order_relaxed)});
    return Sent::kAll;
  }
  connection.SetUnparsed(false);
  Head head;
  Refusal refusal;
  const auto at = static_cast<uint32_t>(arena_used_);
  char* const data = connection.input.data();
  const Progress progress =
      ParseHead(data, size, limits_.head, at, memory_.fields + fields_used_, head, refusal);
  if (progress == Progress::kPartial) {
    const Sent sent = SendWaiting(fd, connection, false);
    if (sent != Sent::kAll) return sent;
    KeepRest(fd, connection);
    return Sent::kAll;
  }
  // What came from another process may have been postponed before anything was read here.
  connection.Note(Standing::kInHand);
  BodyDecoder::Result body;
  if (progress == Progress::kRefused ||
      !StartBody(connection, head, data + head.size, size - head.size, body, refusal)) {
    Refuse(fd, connection, refusal, !IsHeadMethod(head));
    return Sent::kAll;
  }
  std::memcpy(memory_.arena + arena_used_, data, head.size + body.produced);
  connection.input.Consume(head.size + body.consumed);
  Deliver(fd, connection, head, at, body);
  return Sent::kAll;
}

// What was kept is a part of a head: more has to come.
void Engine::KeepRest(int fd, Connection& connection) {
  if (connection.at_end && connection.drained) {
    ListClosing(fd, connection);
    return;
  }
  connection.SetPhase(Phase::kHead, now_ + timeouts_.head);
  Rearm(fd, connection);
}

void Engine::ParsePostponed() {
  if (postponed_.empty()) return;
  std::vector<Name> names;
  names.swap(postponed_);
  for (const Name& name : names) {
    Connection* const connection = ConnectionTable::Shared().Find(name.fd, name.generation);
    if (connection == nullptr) continue;
    // A client that pipelines without reading the responses is cut off here.
    if (ParseKept(name.fd, *connection) != Sent::kAll) Abort(name.fd, *connection);
  }
}

// Throws away what arrives: the rest of a body that nobody wanted, or what follows our shutdown.
void Engine::ReadAndDrop(int fd, Connection& connection) {
  const bool lingering = connection.CurrentPhase() == Phase::kLingering;
  if (!HasRoom(kLeastAsked)) {
    connection.drained = false;
    Rearm(fd, connection);
    return;
  }
  char* const data = memory_.arena + arena_used_;
  const size_t asked = std::min(memory_.arena_size - arena_used_, kMostAsked);
  const ssize_t got = Receive(fd, connection, data, asked);
  if (got == -EAGAIN) {
    Rearm(fd, connection);
    return;
  }
  if (got <= 0) {
    ListClosing(fd, connection);
    return;
  }
  connection.thrown_away += static_cast<uint32_t>(got);
  if (lingering) {
    if (connection.thrown_away > limits_.drain) {
      ListClosing(fd, connection);
    } else {
      Rearm(fd, connection);
    }
    return;
  }
  Refusal refusal;
  const BodyDecoder::Result body =
      connection.body.Decode(data, static_cast<size_t>(got), limits_.body, refusal);
  if (body.refused || (!connection.body.Complete() && connection.thrown_away > limits_.drain)) {
    Linger(fd, connection);
    return;
  }
  const size_t left = static_cast<size_t>(got) - body.consumed;
  if (!connection.input.Append(data + body.consumed, left)) {
    ListClosing(fd, connection);
    return;
  }
  if (connection.body.Complete()) {
    // Nothing waits to be written: the response was complete before the rest of the body was thrown away.
    Proceed(fd, connection);
  } else {
    Rearm(fd, connection);
  }
}

int64_t Engine::ReadBody(int fd, uint32_t generation, char* into, size_t size) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  memory_.control[layout::kBodyDone] = 0;
  if (connection == nullptr || !connection->IsOwnedBy(id_)) return -ECONNRESET;
  for (;;) {
    if (connection->body.Complete()) {
      NoteBodyDone(*connection);
      return 0;
    }
    size_t asked = size;
    if (!connection->body.Chunked()) asked = std::min<uint64_t>(asked, connection->body.Remaining());
    const ssize_t got = Receive(fd, *connection, into, asked);
    if (got == 0) return -ECONNRESET;
    if (got < 0) return got;
    Refusal refusal;
    const BodyDecoder::Result body =
        connection->body.Decode(into, static_cast<size_t>(got), limits_.body, refusal);
    if (body.refused) {
      connection->close_after = true;
      memory_.counters[layout::kParseErrors] += 1;
      memory_.control[layout::kRefusedStatus] = refusal.status;
      return -EPROTO;
    }
    const size_t left = static_cast<size_t>(got) - body.consumed;
    if (!connection->input.Append(into + body.consumed, left)) return -ENOMEM;
    if (!KeepTrailers(*connection, into, body)) return -ENOMEM;
    if (body.produced == 0) continue;
    if (connection->body.Complete()) NoteBodyDone(*connection);
    return static_cast<int64_t>(body.produced);
  }
}

void Engine::NoteBodyDone(Connection& connection) {
  memory_.control[layout::kBodyDone] = connection.trailers.empty() ? 1 : 2;
}

ByteBuffer* Engine::Trailers(int fd, uint32_t generation) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  const bool found = connection != nullptr && connection->owner == id_ && connection->body.Complete() &&
                     !connection->trailers.empty();
  return found ? &connection->trailers : nullptr;
}

void Engine::AwaitBody(int fd, uint32_t generation, bool waiting) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  if (connection != nullptr && connection->IsOwnedBy(id_)) connection->body_waiting = waiting;
}

}  // namespace http1
