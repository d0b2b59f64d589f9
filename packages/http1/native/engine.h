#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "connection.h"
#include "head.h"
#include "layout.h"
#include "response_head.h"

namespace http1 {

struct Timeouts {
  int64_t head = 10'000;
  int64_t idle = 60'000;
  int64_t linger = 2'000;
  int64_t drain = 30'000;
};

struct EngineLimits {
  HeadLimits head;
  BodyLimits body;
  uint32_t drain = 64 * 1024;  // bytes of an unread body or behind a refusal that are thrown away
  uint32_t batch = 64;         // records an engine holds at once
  uint32_t requests = std::numeric_limits<uint32_t>::max();  // of one connection
};

// Memory that JavaScript allocated and keeps alive while the engine lives.
struct EngineMemory {
  char* arena = nullptr;
  size_t arena_size = 0;
  int32_t* records = nullptr;  // limits.batch
  int32_t* fields = nullptr;   // limits.batch * limits.head.fields
  int32_t* control = nullptr;
  double* counters = nullptr;
  int32_t* accepted = nullptr;
  size_t accepted_size = 0;
};

// The lists that grow with the number of responses written at once.
struct EngineQueue {
  int32_t* entries = nullptr;
  double* lengths = nullptr;
  size_t capacity = 0;
  char* out = nullptr;
  size_t out_size = 0;
  int32_t* rearm = nullptr;
  uint8_t* rearm_drained = nullptr;
  int32_t* closing = nullptr;
  size_t list_size = 0;  // of rearm and closing
};

struct Reference {
  const char* data = nullptr;
  size_t size = 0;
};

// Reads and writes the connections of one thread. Nothing here waits.
class Engine {
 public:
  Engine(const EngineLimits& limits, const Timeouts& timeouts, const EngineMemory& memory);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  void SetQueue(const EngineQueue& queue) { queue_ = queue; }
  uint32_t AddLine(std::string_view line);

  // Takes up to `most` connections out of the backlog; control[kAcceptErrno] says why it stopped early, and
  // control[kBacklogEmpty] that there are no more. Those that their address has too many of may be closed at
  // once.
  uint32_t Accept(int listener, uint32_t most);
  // Reads the descriptors of `count` kevent records. Returns the number of request records.
  uint32_t Read(const char* events, uint32_t count);
  // Writes `count` entries, then parses what waits behind finished requests. Returns the number of new
  // records; the first has the index control[kFirst]. With `recycle` the arena and the records are used anew.
  uint32_t Flush(uint32_t count, const Reference* references, bool recycle);

  // Reads body bytes into `into`. Returns their number, or a negative errno (-EAGAIN: wait), or -EPROTO with
  // control[kRefusedStatus]; control[kBodyDone] says whether the body is complete.
  int64_t ReadBody(int fd, uint32_t generation, char* into, size_t size);
  // The trailer lines of the request in hand, each with its CRLF, or nullptr; the caller clears them.
  ByteBuffer* Trailers(int fd, uint32_t generation);
  // Notes that a reader waits for readiness; an unread body cannot then be thrown away by another.
  void AwaitBody(int fd, uint32_t generation, bool waiting);
  // Writes "100 Continue" when it is still owed.
  void Continue(int fd, uint32_t generation);
  // Writes a piece of a streamed body. Returns the bytes that wait for the socket, or a negative errno.
  int64_t Write(int fd, uint32_t generation, std::string_view piece, bool chunked, bool last);
  // Goes on with what waits, then with `reference`. Returns the bytes of it that were written, or a negative
  // errno; control[kStillBlocked] says whether to wait again.
  int64_t Resume(int fd, uint32_t generation, std::string_view reference);
  // Goes on with what waits, then with a file. As Resume(); -EIO when the file ends too early.
  int64_t ResumeFile(int fd, uint32_t generation, int file, int64_t at, int64_t left);

  // Ends the connection when its deadline has passed: true, and the next lists name it as closing.
  bool Expire(int fd, int64_t now);
  // Takes a connection that waits for a request, and whose event this thread has, out of service. False when
  // it does not, or must not: it has something to write, or to throw away.
  bool Yield(int fd);
  // Its name in this process, of which there is no second one.
  [[nodiscard]] uint32_t Id() const { return id_; }
  // From now on it delivers none of the requests that wait behind those in hand: it yields their connections.
  void BeginNoMore() { begins_no_more_ = true; }
  // Whether what was read of the connection may have a whole head, though no event tells of it. If so, this
  // engine has the connection in hand from now on.
  [[nodiscard]] bool Unparsed(int fd);
  // Forgets and closes a connection. False when it is none of ours.
  bool Close(int fd);
  void CloseListed();

 private:
  enum class Sent : uint8_t { kAll, kBlocked, kGone };
  struct Name {
    int fd;
    uint32_t generation;
  };
  struct Late {
    int fd;
    bool drained;
    bool closing;
  };

  // False: the connection was closed, and `error` says why, 0 for one that its address has too many of.
  bool TakeIn(int fd, const ClientAddress& address, int64_t deadline, int& error);
  void RefuseAddress(int fd, Connection& connection);
  void StartLists();
  void NameRearm(int fd, bool drained);
  void NameClosing(int fd);
  void Rearm(int fd, const Connection& connection);
  void ListClosing(int fd, Connection& connection);
  [[nodiscard]] bool HasRoom(size_t bytes) const;

  // engine_read.cc
  void ReadOne(int fd, Connection& connection, bool flagged_end);
  ssize_t Receive(int fd, Connection& connection, char* into, size_t size);
  void ReadRequest(int fd, Connection& connection);
  void ReadAndDrop(int fd, Connection& connection);
  void TakeRequest(int fd, Connection& connection, char* data, size_t size);
  void KeepPartial(int fd, Connection& connection, const char* data, size_t size);
  bool StartBody(Connection& connection, const Head& head, char* data, size_t size,
                 BodyDecoder::Result& result, Refusal& refusal) const;
  void NoteBodyDone(Connection& connection);
  void Deliver(int fd, Connection& connection, const Head& head, uint32_t at,
               const BodyDecoder::Result& body);
  Sent ParseKept(int fd, Connection& connection);
  void KeepRest(int fd, Connection& connection);
  void ParsePostponed();

  // engine_write.cc
  void Refuse(int fd, Connection& connection, const Refusal& refusal, bool with_body);
  layout::EntryOutcome WriteEntry(size_t index, const Reference* references);
  layout::EntryOutcome WriteResponse(size_t index, int fd, Connection& connection,
                                     const Reference* references);
  layout::EntryOutcome SendFirst(int fd, Connection& connection, int32_t flags, std::string_view head,
                                 std::string_view reference, double* lengths, int file);
  bool Compose(size_t index, Connection& connection, HeadWriter& writer);
  void ComposeFraming(int32_t flags, double length, Connection& connection, HeadWriter& writer);
  bool MayDefer(const Connection& connection, int32_t flags, size_t size) const;
  layout::EntryOutcome Defer(int fd, Connection& connection, std::string_view bytes);
  Sent SendParts(int fd, Connection& connection, iovec* parts, size_t count, bool more);
  Sent SendWaiting(int fd, Connection& connection, bool more);
  Sent SendFile(int fd, Connection& connection, int file, int64_t at, int64_t left, int64_t& sent);
  void SendDeferred(const std::vector<Name>& names);
  void CountResponse(int32_t status);
  void CountDurations();
  layout::EntryOutcome Finish(int fd, Connection& connection);
  Sent Proceed(int fd, Connection& connection);
  Sent Leave(int fd, Connection& connection);
  void Retire(int fd, Connection& connection);
  void Linger(int fd, Connection& connection);
  void Abort(int fd, Connection& connection);
  void TakeInHand(Connection& connection);
  void LetGo(Connection& connection);
  [[nodiscard]] bool BodyIsTooLong(const Connection& connection) const;

  const uint32_t id_;
  const EngineLimits limits_;
  const Timeouts timeouts_;
  const EngineMemory memory_;
  EngineQueue queue_;
  std::vector<std::string> lines_;
  std::vector<Name> postponed_;  // pipelined requests that wait for room
  std::vector<Name> deferred_;   // responses that wait to be sent with the next one
  std::vector<Late> late_;       // for the next lists: made outside read() and flush()
  std::vector<char> scratch_;
  DateLine date_;
  int64_t now_ = 0;
  int64_t began_ = 0;              // nanoseconds: when this read or flush began, as far as that was asked for
  std::vector<int64_t> answered_;  // when the requests whose responses this flush has ended began
  size_t arena_used_ = 0;
  size_t fields_used_ = 0;
  uint32_t record_count_ = 0;
  uint32_t round_ = 0;  // flushes so far
  int listener_ = -1;
  bool begins_no_more_ = false;
};

// Writes the descriptors of connections whose deadline has passed and whose event is armed. Any thread.
uint32_t Expired(int64_t now, int32_t* out, size_t capacity);

// Writes the descriptors of connections that an engine has in hand: a request, or bytes that are to be parsed
// though no event tells of them. For the engine of a thread that has ended.
uint32_t HeldBy(uint32_t engine, int32_t* out, size_t capacity);

// Whether the thread that has the event of the connection must end it: in the other phases any thread can go
// on.
bool InHand(int fd);

// For the connections of a thread that has died: answers 500 when nothing was answered yet, and closes; in
// the middle of a response with a RST.
bool Abandon(int fd);

struct ConnectionCounts {
  uint32_t open = 0;
  uint32_t idle = 0;
  uint32_t reading = 0;
  uint32_t handling = 0;
  uint32_t writing = 0;
  uint32_t closing = 0;
  uint32_t yielded = 0;
};
ConnectionCounts CountConnections();

}  // namespace http1
