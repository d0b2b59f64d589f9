// Buffers, and the connection table under threads: opening and closing beside a scan of the deadlines.
#include "connection.h"

#include <pthread.h>

#include <string_view>

#include "byte_buffer.h"
#include "check.h"

namespace {

using http1::ByteBuffer;
using http1::Connection;
using http1::ConnectionTable;
using http1::Phase;

std::string_view All(ByteBuffer& buffer) {
  return {buffer.data(), buffer.size()};
}

void BuffersAppendAndConsume() {
  ByteBuffer buffer;
  CHECK(buffer.empty() && buffer.Append("", 0) && buffer.data() == nullptr);
  CHECK(buffer.Append("hello ", 6) && buffer.Append("world", 5));
  buffer.Consume(6);
  CHECK(All(buffer) == "world");
  CHECK(buffer.Append("!", 1) && All(buffer) == "world!");
  buffer.Consume(6);
  CHECK(buffer.empty() && buffer.data() == nullptr);
}

void GenerationsTellConnectionsApart() {
  ConnectionTable& table = ConnectionTable::Shared();
  CHECK(table.Open(-1) == nullptr && table.Open(ConnectionTable::kCapacity) == nullptr);
  CHECK(table.Find(77) == nullptr);
  Connection* const first = table.Open(77);
  CHECK(first != nullptr && table.Find(77) == first);
  const uint32_t generation = first->generation.load();
  table.Close(*first);
  CHECK(table.Find(77) == nullptr && table.Find(77, generation) == nullptr);
  Connection* const second = table.Open(77);
  CHECK(second == first && table.Find(77, generation) == nullptr);
  table.Close(*second);
}

constexpr int kThreads = 4;
constexpr int kDescriptors = 200;

// Each thread opens and closes descriptors of its own, in chunks that it shares with the others.
void* OpenAndClose(void* argument) {
  const int offset = *static_cast<int*>(argument);
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < kDescriptors; ++i) {
      Connection* const connection = ConnectionTable::Shared().Open(1000 + i * kThreads + offset);
      CHECK(connection != nullptr);
      connection->SetPhase(Phase::kIdle, 1);
    }
    for (int i = 0; i < kDescriptors; ++i) {
      Connection* const connection = ConnectionTable::Shared().Find(1000 + i * kThreads + offset);
      CHECK(connection != nullptr);
      ConnectionTable::Shared().Close(*connection);
    }
  }
  return nullptr;
}

void ScansBesideChanges() {
  std::array<pthread_t, kThreads> threads{};
  std::array<int, kThreads> offsets{};
  for (int i = 0; i < kThreads; ++i) {
    offsets[i] = i;
    CHECK(pthread_create(&threads[i], nullptr, OpenAndClose, &offsets[i]) == 0);
  }
  for (int round = 0; round < 200; ++round) {
    ConnectionTable::Shared().ForEach([](int fd, const Connection& connection) {
      CHECK(fd >= 1000);
      const int64_t deadline = connection.deadline.load(std::memory_order_relaxed);
      CHECK(deadline == 1 || deadline == http1::kNoDeadline);
    });
  }
  for (const pthread_t thread : threads) CHECK(pthread_join(thread, nullptr) == 0);
}

}  // namespace

int main() {
  BuffersAppendAndConsume();
  GenerationsTellConnectionsApart();
  ScansBesideChanges();
  return 0;
}
