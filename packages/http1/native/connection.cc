#include "connection.h"

#include <sys/socket.h>
#include <unistd.h>

#include <ctime>
#include <memory>
#include <new>

namespace http1 {

namespace {

// Relaxed: it is set before the first of these connections is in a queue, and a late sight of its end costs a
// shutdown().
std::atomic<bool> kept_elsewhere{false};

bool KeptElsewhere(const Connection& connection) {
  return connection.ledger != nullptr && kept_elsewhere.load(std::memory_order_relaxed);
}

}  // namespace

ConnectionTable& ConnectionTable::Shared() {
  // Never destroyed: threads may still look at it while the process exits.
  static auto* const table = new ConnectionTable();
  return *table;
}

Connection* ConnectionTable::Open(int fd) {
  if (fd < 0 || fd >= kCapacity) return nullptr;
  std::atomic<Chunk*>& slot = chunks_[static_cast<uint32_t>(fd) / kChunkSize];
  Chunk* chunk = slot.load(std::memory_order_acquire);
  if (chunk == nullptr) {
    std::unique_ptr<Chunk> fresh(new (std::nothrow) Chunk());
    if (fresh == nullptr) return nullptr;
    // Two threads may accept into the same chunk: one allocation wins, the loser's is freed.
    if (slot.compare_exchange_strong(chunk, fresh.get(), std::memory_order_acq_rel)) chunk = fresh.release();
  }
  Connection& connection = (*chunk)[static_cast<uint32_t>(fd) % kChunkSize];
  connection.requests = 0;
  connection.bytes_in = 0;
  connection.bytes_out = 0;
  connection.body.StartNone();
  connection.thrown_away = 0;
  connection.keep_alive = true;
  connection.response_started = false;
  connection.close_after = false;
  connection.expects_continue = false;
  connection.drained = false;
  connection.at_end = false;
  connection.deferred_round = 0;
  connection.body_waiting = false;
  connection.SetUnparsed(false);
  connection.SetOwner(0);
  connection.ledger = nullptr;
  connection.in_hand = false;
  connection.refused = false;
  connection.address = {};
  connection.generation.fetch_add(1, std::memory_order_release);
  return &connection;
}

Connection* ConnectionTable::Find(int fd) {
  if (fd < 0 || fd >= kCapacity) return nullptr;
  Chunk* const chunk = chunks_[static_cast<uint32_t>(fd) / kChunkSize].load(std::memory_order_acquire);
  if (chunk == nullptr) return nullptr;
  Connection& connection = (*chunk)[static_cast<uint32_t>(fd) % kChunkSize];
  return (connection.generation.load(std::memory_order_acquire) & 1U) == 0 ? nullptr : &connection;
}

Connection* ConnectionTable::Find(int fd, uint32_t generation) {
  Connection* const connection = Find(fd);
  if (connection == nullptr) return nullptr;
  return connection->generation.load(std::memory_order_acquire) == generation ? connection : nullptr;
}

void ConnectionTable::Close(Connection& connection) {
  if (connection.address.kind != ClientAddress::kNone) {
    AddressLimit::Shared().Leave(connection.address, connection.refused);
    connection.address = {};
  }
  connection.input.Clear();
  connection.output.Clear();
  connection.trailers.Clear();
  connection.Note(Standing::kEnded);
  connection.ledger = nullptr;
  connection.SetPhase(Phase::kFree, kNoDeadline);
  connection.generation.fetch_add(1, std::memory_order_release);
}

void SetKeptElsewhere(bool kept) {
  kept_elsewhere.store(kept, std::memory_order_relaxed);
}

void ResetOnClose(int fd, const Connection& connection) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  if (!KeptElsewhere(connection)) return;
  // Ends it now, whoever has it open.
  const sockaddr nowhere{AF_UNSPEC, {}};
  if (connect(fd, &nowhere, sizeof nowhere) != 0) shutdown(fd, SHUT_RDWR);
}

void End(int fd, Connection& connection) {
  const bool kept = KeptElsewhere(connection);
  // The number may come back as soon as it is closed.
  ConnectionTable::Shared().Close(connection);
  if (kept) shutdown(fd, SHUT_RDWR);
  close(fd);
}

int64_t MonotonicNanoseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<int64_t>(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
}

int64_t MonotonicMilliseconds() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

}  // namespace http1
