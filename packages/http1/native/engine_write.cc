#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "engine.h"
#include "hand_over.h"

namespace http1 {

namespace {

// A file goes out in pieces, so that one fast client does not keep a thread for itself.
constexpr size_t kFilePiece = size_t{1} << 20;
constexpr int kFilePiecesAtOnce = 4;

// Responses to pipelined requests are sent together up to this size.
constexpr size_t kMostDeferred = 16 * 1024;

iovec Part(std::string_view bytes) {
  // sendmsg(2) only reads what iov_base points to.
  return {const_cast<char*>(bytes.data()), bytes.size()};
}

std::string_view Bytes(const iovec& part) {
  return {static_cast<const char*>(part.iov_base), part.iov_len};
}

// One piece goes by send(2), for which the kernel copies no list.
ssize_t SendVector(int fd, iovec* vector, size_t count, bool more) {
  const int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);
  if (count == 1) return send(fd, vector[0].iov_base, vector[0].iov_len, flags);
  msghdr message{};
  message.msg_iov = vector;
  message.msg_iovlen = count;
  return sendmsg(fd, &message, flags);
}

}  // namespace

uint32_t Engine::Flush(uint32_t count, const Reference* references, bool recycle) {
  date_.Update();
  // With `recycle` the call goes on with the one before it, whose lists have not been looked at yet.
  if (recycle) {
    record_count_ = 0;
    arena_used_ = 0;
    fields_used_ = 0;
  } else {
    StartLists();
  }
  const uint32_t first = record_count_;
  memory_.control[layout::kFirst] = static_cast<int32_t>(first);
  ++round_;
  began_ = 0;
  std::vector<Name> held_back;
  held_back.swap(deferred_);
  ParsePostponed();
  for (size_t i = 0; i < count; ++i) {
    int32_t* const entry = queue_.entries + i * layout::kEntryStride;
    const layout::EntryOutcome outcome = WriteEntry(i, references);
    entry[layout::kEntryOutcome] = outcome;
    if (outcome != layout::kDone || (entry[layout::kEntryFlags] & layout::kMoreFollows) != 0) {
      ++memory_.control[layout::kUnfinished];
    }
  }
  SendDeferred(held_back);
  CountDurations();
  memory_.control[layout::kWantsRoom] = !postponed_.empty() && record_count_ == first ? 1 : 0;
  return record_count_ - first;
}

layout::EntryOutcome Engine::WriteEntry(size_t index, const Reference* references) {
  const int32_t* const entry = queue_.entries + index * layout::kEntryStride;
  const int fd = entry[layout::kEntryDescriptor];
  Connection* const connection =
      ConnectionTable::Shared().Find(fd, static_cast<uint32_t>(entry[layout::kEntryGeneration]));
  if (connection == nullptr || !connection->IsOwnedBy(id_)) return layout::kGone;
  // Another entry has already ended the connection, and the lists name it.
  if (connection->CurrentPhase() == Phase::kClosing) return layout::kGone;
  switch (entry[layout::kEntryKind]) {
    case layout::kResponse:
      return WriteResponse(index, fd, *connection, references);
    case layout::kFinish:
      return Finish(fd, *connection);
    default:
      Abort(fd, *connection);
      return layout::kDone;
  }
}

layout::EntryOutcome Engine::WriteResponse(size_t index, int fd, Connection& connection,
                                           const Reference* references) {
  const int32_t* const entry = queue_.entries + index * layout::kEntryStride;
  double* const lengths = queue_.lengths + index * layout::kLengthStride;
  const int32_t flags = entry[layout::kEntryFlags];
  HeadWriter writer(scratch_.data(), scratch_.size());
  if (!Compose(index, connection, writer)) {
    Abort(fd, connection);
    return layout::kGone;
  }
  connection.response_started = true;
  CountResponse(entry[layout::kEntryStatus]);
  const std::string_view head(scratch_.data(), writer.Size());
  if (MayDefer(connection, flags, head.size())) return Defer(fd, connection, head);
  std::string_view reference;
  if ((flags & layout::kBodyReference) != 0) {
    const Reference& body = references[entry[layout::kEntryBodyAt]];
    reference = {body.data, body.size};
  }
  return SendFirst(fd, connection, flags, head, reference, lengths, entry[layout::kEntryBodyAt]);
}

// The first attempt to send a response: all of it, as far as the socket takes it.
layout::EntryOutcome Engine::SendFirst(int fd, Connection& connection, int32_t flags, std::string_view head,
                                       std::string_view reference, double* lengths, int file) {
  const bool has_file = (flags & layout::kBodyFile) != 0;
  std::array<iovec, 2> parts{Part(head), Part(reference)};
  Sent sent = SendParts(fd, connection, parts.data(), parts.size(), has_file);
  lengths[layout::kBodyProgress] = static_cast<double>(reference.size() - parts[1].iov_len);
  if (sent == Sent::kBlocked && !connection.output.Append(Bytes(parts[0]).data(), parts[0].iov_len)) {
    sent = Sent::kGone;
  }
  if (sent == Sent::kAll && has_file) {
    int64_t file_sent = 0;
    const auto at = static_cast<int64_t>(lengths[layout::kFileOffset]);
    sent =
        SendFile(fd, connection, file, at, static_cast<int64_t>(lengths[layout::kContentLength]), file_sent);
    lengths[layout::kBodyProgress] = static_cast<double>(file_sent);
  }
  if (sent == Sent::kGone) {
    Abort(fd, connection);
    return layout::kGone;
  }
  if (sent == Sent::kBlocked) {
    connection.SetPhase(Phase::kWriting, kNoDeadline);
    return layout::kBlocked;
  }
  return (flags & layout::kMoreFollows) != 0 ? layout::kDone : Finish(fd, connection);
}

bool Engine::Compose(size_t index, Connection& connection, HeadWriter& writer) {
  const int32_t* const entry = queue_.entries + index * layout::kEntryStride;
  const int32_t flags = entry[layout::kEntryFlags];
  writer.Text(StatusLine(static_cast<uint16_t>(entry[layout::kEntryStatus])));
  if ((flags & layout::kOwnDate) == 0) writer.Text(date_.Text());
  for (int32_t i = 0; i < entry[layout::kEntryLineCount]; ++i) {
    writer.Text(lines_[static_cast<size_t>(entry[layout::kEntryFirstLine + i])]);
  }
  writer.Text(
      {queue_.out + entry[layout::kEntryExtraAt], static_cast<size_t>(entry[layout::kEntryExtraSize])});
  ComposeFraming(flags, queue_.lengths[index * layout::kLengthStride + layout::kContentLength], connection,
                 writer);
  if ((flags & layout::kBodyInArena) != 0) {
    writer.Text(
        {queue_.out + entry[layout::kEntryBodyAt], static_cast<size_t>(entry[layout::kEntryBodySize])});
  }
  return !writer.Overflowed();
}

void Engine::ComposeFraming(int32_t flags, double length, Connection& connection, HeadWriter& writer) {
  const bool answers_early = (flags & layout::kMoreFollows) == 0 && BodyIsTooLong(connection);
  if ((flags & layout::kClose) != 0 || answers_early) connection.close_after = true;
  if ((flags & layout::kChunked) != 0) writer.Text("Transfer-Encoding: chunked\r\n");
  if ((flags & layout::kLength) != 0) {
    writer.Text("Content-Length: ");
    writer.Number(static_cast<uint64_t>(length));
    writer.Text("\r\n");
  }
  if (connection.close_after || !connection.keep_alive) {
    writer.Text("Connection: close\r\n");
  } else if (connection.minor_zero) {
    writer.Text("Connection: keep-alive\r\n");
  }
  writer.Text("\r\n");
}

// A response is held back when the next request of the connection has already been read: its response may
// leave in the same packet. The next flush sends it in any case.
bool Engine::MayDefer(const Connection& connection, int32_t flags, size_t size) const {
  constexpr int32_t kNotInOnePiece = layout::kBodyReference | layout::kBodyFile | layout::kMoreFollows;
  return !connection.input.empty() && !HandingOver() && !begins_no_more_ && (flags & kNotInOnePiece) == 0 &&
         connection.keep_alive && !connection.close_after && connection.body.Complete() &&
         connection.output.size() + size <= kMostDeferred;
}

layout::EntryOutcome Engine::Defer(int fd, Connection& connection, std::string_view bytes) {
  if (!connection.output.Append(bytes.data(), bytes.size())) {
    Abort(fd, connection);
    return layout::kGone;
  }
  connection.deferred_round = round_;
  // Relaxed: it cannot change while this thread has the connection.
  deferred_.push_back({fd, connection.generation.load(std::memory_order_relaxed)});
  return Finish(fd, connection);
}

// Sends what an earlier flush held back and this one has not sent or held back again.
void Engine::SendDeferred(const std::vector<Name>& names) {
  for (const Name& name : names) {
    Connection* const connection = ConnectionTable::Shared().Find(name.fd, name.generation);
    if (connection == nullptr || connection->deferred_round == round_) continue;
    // It may have been handed over since, and be in another thread's hands again.
    if (!connection->IsOwnedBy(id_) || connection->CurrentPhase() != Phase::kHandling) continue;
    // What the socket does not take now goes with the next response. That one is not held back when the peer
    // is lost, so that no more requests are handled for nobody.
    if (SendWaiting(name.fd, *connection, false) == Sent::kGone) connection->close_after = true;
  }
}

// Sends what waits, then the parts; these are left as what was not sent. kBlocked: the socket is full.
Engine::Sent Engine::SendParts(int fd, Connection& connection, iovec* parts, size_t count, bool more) {
  std::array<iovec, 6> vector{};
  for (;;) {
    size_t used = 0;
    if (!connection.output.empty()) vector[used++] = {connection.output.data(), connection.output.size()};
    for (size_t i = 0; i < count; ++i) {
      if (parts[i].iov_len > 0) vector[used++] = parts[i];
    }
    if (used == 0) return Sent::kAll;
    const ssize_t sent = SendVector(fd, vector.data(), used, more);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return errno == EAGAIN ? Sent::kBlocked : Sent::kGone;
    connection.bytes_out += static_cast<uint64_t>(sent);
    memory_.counters[layout::kBytesOut] += static_cast<double>(sent);
    auto left = static_cast<size_t>(sent);
    const size_t waited = std::min(left, connection.output.size());
    if (waited > 0) connection.output.Consume(waited);
    left -= waited;
    for (size_t i = 0; i < count; ++i) {
      const size_t taken = std::min(left, parts[i].iov_len);
      parts[i].iov_base = static_cast<char*>(parts[i].iov_base) + taken;
      parts[i].iov_len -= taken;
      left -= taken;
    }
    if (connection.output.empty() &&
        std::all_of(parts, parts + count, [](const iovec& part) { return part.iov_len == 0; })) {
      return Sent::kAll;
    }
  }
}

Engine::Sent Engine::SendWaiting(int fd, Connection& connection, bool more) {
  return SendParts(fd, connection, nullptr, 0, more);
}

Engine::Sent Engine::SendFile(int fd, Connection& connection, int file, int64_t at, int64_t left,
                              int64_t& sent) {
  sent = 0;
  for (int piece = 0; piece < kFilePiecesAtOnce; ++piece) {
    if (left == 0) return Sent::kAll;
    off_t offset = at + sent;
    const auto asked = static_cast<size_t>(std::min<int64_t>(left, kFilePiece));
    const ssize_t got = sendfile(fd, file, &offset, asked);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN ? Sent::kBlocked : Sent::kGone;
    // The file has become shorter than the length that the head announced.
    if (got == 0) return Sent::kGone;
    sent += got;
    left -= got;
    connection.bytes_out += static_cast<uint64_t>(got);
    memory_.counters[layout::kBytesOut] += static_cast<double>(got);
  }
  return left == 0 ? Sent::kAll : Sent::kBlocked;
}

void Engine::CountResponse(int32_t status) {
  const int32_t group = std::clamp(status / 100, 2, 5) - 2;
  memory_.counters[layout::kResponses2xx + group] += 1;
}

// A request lasts from the look at the clock before the read that brought the end of its head (in a pipeline:
// after the response before) until the kernel has taken the last byte of its response. One look for all that
// a flush has ended.
void Engine::CountDurations() {
  if (answered_.empty()) return;
  const int64_t now = MonotonicNanoseconds();
  int64_t sum = 0;
  for (const int64_t started : answered_) {
    const int64_t duration = now - started;
    sum += duration;
    size_t bucket = 0;
    while (bucket < layout::kDurationBounds.size() && duration > layout::kDurationBounds[bucket]) ++bucket;
    memory_.counters[layout::kFirstDuration + bucket] += 1;
  }
  memory_.counters[layout::kDurationSum] += static_cast<double>(sum) / 1e9;
  answered_.clear();
}

// Whether the rest of the request body is not worth waiting for, so that the connection has to end.
bool Engine::BodyIsTooLong(const Connection& connection) const {
  if (connection.body.Complete()) return false;
  return connection.expects_continue || connection.body_waiting ||
         connection.body.Remaining() > limits_.drain;
}

void Engine::TakeInHand(Connection& connection) {
  connection.in_hand = true;
  ++memory_.control[layout::kInHand];
}

void Engine::LetGo(Connection& connection) {
  if (!connection.in_hand) return;
  connection.in_hand = false;
  --memory_.control[layout::kInHand];
}

// The response is complete.
layout::EntryOutcome Engine::Finish(int fd, Connection& connection) {
  ++connection.requests;
  // Nobody takes them any more.
  if (!connection.trailers.empty()) connection.trailers.Clear();
  // Before the next request of the connection comes in hand.
  const int64_t started = connection.started;
  LetGo(connection);
  switch (Proceed(fd, connection)) {
    case Sent::kAll:
      answered_.push_back(started);
      return layout::kDone;
    case Sent::kBlocked:
      // Counted again when the rest has been written.
      --connection.requests;
      TakeInHand(connection);
      connection.SetPhase(Phase::kWriting, kNoDeadline);
      return layout::kBlocked;
    case Sent::kGone:
      break;
  }
  Abort(fd, connection);
  return layout::kGone;
}

// On to the next request of the connection, or to its end.
Engine::Sent Engine::Proceed(int fd, Connection& connection) {
  if (connection.close_after || !connection.keep_alive) {
    Retire(fd, connection);
  } else if (!connection.body.Complete()) {
    if (BodyIsTooLong(connection)) {
      Linger(fd, connection);
    } else {
      connection.SetPhase(Phase::kDraining, now_ + timeouts_.drain);
      Rearm(fd, connection);
    }
  } else if (HandingOver() || (begins_no_more_ && !connection.input.empty())) {
    return Leave(fd, connection);
  } else if (!connection.input.empty()) {
    return ParseKept(fd, connection);
  } else {
    connection.SetPhase(Phase::kIdle, now_ + timeouts_.idle);
    connection.Note(Standing::kBetween);
    Rearm(fd, connection);
  }
  return Sent::kAll;
}

// The next request is another process's, or another thread's: the connection goes out of service, and its
// event stays disabled.
Engine::Sent Engine::Leave(int fd, Connection& connection) {
  const Sent sent = SendWaiting(fd, connection, false);
  if (sent != Sent::kAll) return sent;
  const bool begun = !connection.input.empty();
  connection.SetPhase(begun ? Phase::kHead : Phase::kIdle, now_ + (begun ? timeouts_.head : timeouts_.idle));
  connection.Yield();
  ++memory_.control[layout::kYields];
  return Sent::kAll;
}

// Ends a connection after its last response. A client that asked for it sends nothing more, so closing is
// safe; one that did not may have more on the way, and a RST would take the response from it.
void Engine::Retire(int fd, Connection& connection) {
  const bool asked_for = !connection.keep_alive && connection.body.Complete() && connection.drained;
  if (asked_for) {
    ListClosing(fd, connection);
  } else {
    Linger(fd, connection);
  }
}

void Engine::Linger(int fd, Connection& connection) {
  if (shutdown(fd, SHUT_WR) != 0 || (connection.at_end && connection.drained) || connection.body_waiting) {
    ListClosing(fd, connection);
    return;
  }
  connection.input.Clear();
  connection.thrown_away = 0;
  connection.SetPhase(Phase::kLingering, now_ + timeouts_.linger);
  Rearm(fd, connection);
}

// Ends a connection in the middle of a response.
void Engine::Abort(int fd, Connection& connection) {
  ResetOnClose(fd, connection);
  ListClosing(fd, connection);
}

void Engine::Refuse(int fd, Connection& connection, const Refusal& refusal, bool with_body) {
  date_.Update();
  std::array<char, 512> space{};
  HeadWriter writer(space.data(), space.size());
  WriteRefusal(writer, refusal, date_.Text(), with_body);
  memory_.counters[layout::kParseErrors] += 1;
  CountResponse(refusal.status);
  std::array<iovec, 1> parts{Part({space.data(), writer.Size()})};
  if (SendParts(fd, connection, parts.data(), parts.size(), false) != Sent::kAll) {
    ListClosing(fd, connection);
    return;
  }
  Linger(fd, connection);
}

void Engine::Continue(int fd, uint32_t generation) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  if (connection == nullptr || !connection->IsOwnedBy(id_) || !connection->expects_continue) return;
  // Once the final response has begun, an interim one would corrupt it.
  if (connection->response_started) return;
  connection->expects_continue = false;
  constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
  std::array<iovec, 1> parts{Part(kContinue)};
  if (SendParts(fd, *connection, parts.data(), parts.size(), false) == Sent::kAll) return;
  // What does not fit goes before the response; a failure shows when the body is read.
  if (!connection->output.Append(Bytes(parts[0]).data(), parts[0].iov_len)) connection->close_after = true;
}

int64_t Engine::Write(int fd, uint32_t generation, std::string_view piece, bool chunked, bool last) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  if (connection == nullptr || !connection->IsOwnedBy(id_)) return -ECONNRESET;
  std::array<char, 18> prefix{};
  std::array<iovec, 4> parts{};
  size_t count = 0;
  if (chunked && !piece.empty()) {
    const auto [end, error] = std::to_chars(prefix.data(), prefix.data() + 16, piece.size(), 16);
    end[0] = '\r';
    end[1] = '\n';
    parts[count++] = Part({prefix.data(), static_cast<size_t>(end + 2 - prefix.data())});
  }
  parts[count++] = Part(piece);
  if (chunked && !piece.empty()) parts[count++] = Part("\r\n");
  if (chunked && last) parts[count++] = Part("0\r\n\r\n");
  const Sent sent = SendParts(fd, *connection, parts.data(), count, false);
  if (sent == Sent::kGone) return -EPIPE;
  for (size_t i = 0; i < count; ++i) {
    if (!connection->output.Append(Bytes(parts[i]).data(), parts[i].iov_len)) return -ENOMEM;
  }
  return static_cast<int64_t>(connection->output.size());
}

int64_t Engine::Resume(int fd, uint32_t generation, std::string_view reference) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  if (connection == nullptr || !connection->IsOwnedBy(id_)) return -ECONNRESET;
  std::array<iovec, 1> parts{Part(reference)};
  const Sent sent = SendParts(fd, *connection, parts.data(), parts.size(), false);
  if (sent == Sent::kGone) return -EPIPE;
  memory_.control[layout::kStillBlocked] = sent == Sent::kBlocked ? 1 : 0;
  return static_cast<int64_t>(reference.size() - parts[0].iov_len);
}

int64_t Engine::ResumeFile(int fd, uint32_t generation, int file, int64_t at, int64_t left) {
  Connection* const connection = ConnectionTable::Shared().Find(fd, generation);
  if (connection == nullptr || !connection->IsOwnedBy(id_)) return -ECONNRESET;
  Sent sent = SendWaiting(fd, *connection, true);
  int64_t file_sent = 0;
  if (sent == Sent::kAll) sent = SendFile(fd, *connection, file, at, left, file_sent);
  if (sent == Sent::kGone) return -EIO;
  memory_.control[layout::kStillBlocked] = sent == Sent::kBlocked ? 1 : 0;
  return file_sent;
}

bool Engine::Expire(int fd, int64_t now) {
  Connection* const connection = ConnectionTable::Shared().Find(fd);
  // Relaxed: the event of an armed connection is in this thread, so nobody else writes them now.
  if (connection == nullptr || connection->deadline.load(std::memory_order_relaxed) > now) return false;
  memory_.counters[layout::kTimeouts] += 1;
  connection->Note(Standing::kInHand);
  if (connection->CurrentPhase() == Phase::kHead) {
    date_.Update();
    std::array<char, 512> space{};
    HeadWriter writer(space.data(), space.size());
    WriteRefusal(writer, {408, "The request head did not arrive in time."}, date_.Text(), true);
    CountResponse(408);
    std::array<iovec, 1> parts{Part({space.data(), writer.Size()})};
    if (SendParts(fd, *connection, parts.data(), parts.size(), false) == Sent::kAll) shutdown(fd, SHUT_WR);
  }
  connection->SetPhase(Phase::kClosing, kNoDeadline);
  late_.push_back({fd, false, true});
  return true;
}

}  // namespace http1
