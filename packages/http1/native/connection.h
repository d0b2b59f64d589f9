#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>

#include "address_limit.h"
#include "body_decoder.h"
#include "byte_buffer.h"

namespace http1 {

// Where a connection stands. Its read event is armed in idle, head, draining and lingering; in the others a
// handler or an engine has it.
enum class Phase : uint8_t {
  kFree,
  kIdle,       // between requests, nothing read
  kHead,       // part of a head was read
  kHandling,   // a request was delivered; its body may still be arriving
  kWriting,    // the response did not fit the socket buffer
  kDraining,   // the response is out, the rest of the request body is thrown away
  kLingering,  // our side is shut down; input is thrown away until the peer closes, so that no RST is sent
  kClosing,    // named in a list of descriptors to be closed
  kYielded,    // out of service, to go to another process: see hand_over.h
};

// How far a process has got with a connection that another one may have to take back: see ledger.h. With the
// requests that were answered it makes a word of a ledger.
enum class Standing : uint64_t {
  kUntouched,  // nothing was read and nothing written
  kInHand,     // of a request or a response only a part was seen by the kernel, or none
  kBetween,    // all that was read has been answered
  kEnded,
};
inline constexpr unsigned kStandingBits = 2;

inline constexpr int64_t kNoDeadline = std::numeric_limits<int64_t>::max();

// The state of one descriptor. Only the thread that owns its event touches it; the queue that hands the event
// on orders the accesses. `generation`, `phase` and `deadline` may be read by any thread.
struct Connection {
  // Odd while the descriptor is a connection of ours. Written with release when all else is set, read with
  // acquire by Table::Find and the scans.
  std::atomic<uint32_t> generation{0};
  // Relaxed: the deadline scan takes it as a hint, the thread that gets the forced event looks again.
  std::atomic<Phase> phase{Phase::kFree};
  // Input may have a whole head: no more need come. Relaxed, as the owner.
  std::atomic<bool> unparsed{false};
  // Monotonic milliseconds. Relaxed, for the same reason.
  std::atomic<int64_t> deadline{kNoDeadline};

  int64_t started = 0;          // nanoseconds; see Engine::Count()
  int64_t until = kNoDeadline;  // the deadline that it had when it was yielded
  ClientAddress address;        // that it is counted for
  // Engine that has the request in hand. Relaxed; who looks from another thread reads the phase before (see
  // HeldBy).
  std::atomic<uint32_t> owner{0};
  uint32_t requests = 0;
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  ByteBuffer input;     // a partial head, or requests behind the one in hand
  ByteBuffer output;    // response bytes that wait for the socket or for the response to a pipelined request
  ByteBuffer trailers;  // lines that followed the body in hand, until its reader takes them
  BodyDecoder body;
  uint32_t deferred_round = 0;  // the flush in which output was last held back for the next response
  uint32_t thrown_away = 0;     // bytes read while draining or lingering
  bool keep_alive = true;
  bool minor_zero = false;
  bool head_method = false;
  bool expects_continue = false;  // "100 Continue" is owed before the body is read
  bool response_started = false;
  bool close_after = false;
  bool drained = false;       // the last recv() returned less than it was asked for
  bool at_end = false;        // the queue said EV_EOF or recv() returned 0
  bool body_waiting = false;  // a reader waits for readiness to read the body
  bool refused = false;       // its address has too many, and it is only told so
  bool in_hand = false;       // its engine has delivered a request and not ended the response
  // The word that tells another process of this connection, or nullptr. Relaxed: the other one reads it when
  // this process has ended, and a process writes in the order of its instructions as far as the kernel is
  // concerned.
  std::atomic<uint64_t>* ledger = nullptr;

  void Note(Standing standing) {
    if (ledger != nullptr) NoteWord(static_cast<uint64_t>(standing) | uint64_t{requests} << kStandingBits);
  }
  void NoteWord(uint64_t word) {
    if (ledger != nullptr) ledger->store(word, std::memory_order_relaxed);
  }
  [[nodiscard]] uint64_t NotedWord() const {
    return ledger == nullptr ? 0 : ledger->load(std::memory_order_relaxed);
  }

  void SetPhase(Phase next, int64_t until) {
    // Release pairs with the acquire of HeldBy(): who sees the phase sees the owner, too.
    phase.store(next, std::memory_order_release);
    deadline.store(until, std::memory_order_relaxed);
  }
  void Yield() {
    // Relaxed: only the thread that has it writes it.
    until = deadline.load(std::memory_order_relaxed);
    deadline.store(kNoDeadline, std::memory_order_relaxed);
    // Release pairs with the acquire of the thread that hands it over.
    phase.store(Phase::kYielded, std::memory_order_release);
  }
  void SetOwner(uint32_t engine) { owner.store(engine, std::memory_order_relaxed); }
  [[nodiscard]] bool IsOwnedBy(uint32_t engine) const {
    return owner.load(std::memory_order_relaxed) == engine;
  }
  void SetUnparsed(bool yes) { unparsed.store(yes, std::memory_order_relaxed); }
  [[nodiscard]] bool IsUnparsed() const { return unparsed.load(std::memory_order_relaxed); }
  [[nodiscard]] Phase CurrentPhase() const { return phase.load(std::memory_order_relaxed); }
};

// Descriptor -> Connection for the whole process. Chunks are allocated once and never freed, so that a scan
// in another thread can never touch freed memory; a Connection is reused by the next one with its number.
class ConnectionTable {
 public:
  static constexpr uint32_t kChunkSize = 256;
  static constexpr uint32_t kChunks = 4096;
  static constexpr int kCapacity = static_cast<int>(kChunkSize * kChunks);

  // Makes `fd` a connection. nullptr when the number is beyond kCapacity or there is no memory.
  Connection* Open(int fd);
  // The open connection `fd`, or nullptr.
  Connection* Find(int fd);
  // The open connection `fd` of that generation, or nullptr.
  Connection* Find(int fd, uint32_t generation);
  // Forgets the connection. The caller closes the descriptor after that, for its number may then come back.
  void Close(Connection& connection);

  // Calls visit(fd, connection) for each open connection.
  template <typename Visit>
  void ForEach(Visit visit);

  // The table of this process.
  static ConnectionTable& Shared();

 private:
  using Chunk = std::array<Connection, kChunkSize>;

  // Release by the thread that allocates a chunk, acquire by those that look in it.
  std::array<std::atomic<Chunk*>, kChunks> chunks_{};
};

template <typename Visit>
void ConnectionTable::ForEach(Visit visit) {
  for (uint32_t chunk = 0; chunk < kChunks; ++chunk) {
    Chunk* const connections = chunks_[chunk].load(std::memory_order_acquire);
    if (connections == nullptr) continue;
    for (uint32_t i = 0; i < kChunkSize; ++i) {
      Connection& connection = (*connections)[i];
      // Acquire pairs with the release in Open().
      if ((connection.generation.load(std::memory_order_acquire) & 1U) == 0) continue;
      visit(static_cast<int>(chunk * kChunkSize + i), connection);
    }
  }
}

// While another process has copies of descriptors that this one has taken over: to close one ends no
// connection.
void SetKeptElsewhere(bool kept);

// Has the connection end with a RST, for its response is not whole.
void ResetOnClose(int fd, const Connection& connection);

// Ends a connection: forgets it and closes its descriptor.
void End(int fd, Connection& connection);

// Nanoseconds of CLOCK_MONOTONIC.
int64_t MonotonicNanoseconds();

// Milliseconds of CLOCK_MONOTONIC, at the kernel's tick resolution.
int64_t MonotonicMilliseconds();

}  // namespace http1
