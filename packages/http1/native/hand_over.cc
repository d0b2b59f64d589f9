#include "hand_over.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "connection.h"

namespace http1 {

namespace {

// The state's head, little endian as all that this runs on.
struct State {
  uint32_t magic = kMagic;
  uint32_t requests = 0;
  int64_t left = 0;  // milliseconds to the deadline
  uint64_t bytes_in = 0;
  uint64_t bytes_out = 0;
  uint32_t input = 0;  // bytes that follow
  uint32_t at_end = 0;
  uint64_t reserved = 0;

  static constexpr uint32_t kMagic = 0x01683178;  // "x1h", and the version
};
static_assert(sizeof(State) == kStateHead);

// More than one read brings, and a head may have; a state that says more is not one of ours.
constexpr size_t kMostInput = size_t{1} << 20;

// Relaxed: who sees it late begins one request more, which is waited for.
std::atomic<bool> handing_over{false};

Connection* FindYielded(int fd) {
  Connection* const connection = ConnectionTable::Shared().Find(fd);
  if (connection == nullptr) return nullptr;
  // Acquire pairs with the release in Connection::Yield(): what its thread has read is seen.
  return connection->phase.load(std::memory_order_acquire) == Phase::kYielded ? connection : nullptr;
}

}  // namespace

void SetHandingOver(bool on) {
  handing_over.store(on, std::memory_order_relaxed);
}

bool HandingOver() {
  return handing_over.load(std::memory_order_relaxed);
}

uint32_t Yielded(int32_t* out, size_t capacity) {
  uint32_t count = 0;
  ConnectionTable::Shared().ForEach([&](int fd, const Connection& connection) {
    if (count >= capacity || connection.CurrentPhase() != Phase::kYielded) return;
    out[count++] = fd;
  });
  return count;
}

size_t StateSize(int fd) {
  const Connection* const connection = FindYielded(fd);
  return connection == nullptr ? 0 : kStateHead + connection->input.size();
}

size_t ExportState(int fd, char* out, size_t size) {
  Connection* const connection = FindYielded(fd);
  if (connection == nullptr || size < kStateHead + connection->input.size()) return 0;
  State state;
  state.requests = connection->requests;
  state.left = std::max<int64_t>(connection->until - MonotonicMilliseconds(), 0);
  state.bytes_in = connection->bytes_in;
  state.bytes_out = connection->bytes_out;
  state.input = static_cast<uint32_t>(connection->input.size());
  state.at_end = connection->at_end ? 1 : 0;
  std::memcpy(out, &state, kStateHead);
  if (state.input > 0) std::memcpy(out + kStateHead, connection->input.data(), state.input);
  return kStateHead + state.input;
}

int Adopt(int fd, const char* bytes, size_t size) {
  State state;
  if (size < kStateHead) return -EINVAL;
  std::memcpy(&state, bytes, kStateHead);
  const bool whole = state.magic == State::kMagic && state.input == size - kStateHead && state.at_end <= 1 &&
                     state.left >= 0 && state.reserved == 0;
  if (!whole || state.input > kMostInput) return -EINVAL;
  if (ConnectionTable::Shared().Find(fd) != nullptr) return -EEXIST;
  Connection* const connection = ConnectionTable::Shared().Open(fd);
  if (connection == nullptr) return -EMFILE;
  if (state.input > 0 && !connection->input.Append(bytes + kStateHead, state.input)) {
    ConnectionTable::Shared().Close(*connection);
    return -ENOMEM;
  }
  if (AddressLimit::Bounds()) {
    connection->address = ClientAddress::OfPeer(fd);
    AddressLimit::Shared().Adopt(connection->address);
  }
  connection->requests = state.requests;
  connection->bytes_in = state.bytes_in;
  connection->bytes_out = state.bytes_out;
  connection->at_end = state.at_end == 1;
  connection->SetPhase(Phase::kIdle, MonotonicMilliseconds() + state.left);
  connection->Yield();
  return 0;
}

int Reinstate(int fd) {
  Connection* const connection = FindYielded(fd);
  if (connection == nullptr) return -EBADF;
  const bool unparsed = !connection->input.empty();
  connection->SetUnparsed(unparsed);
  connection->SetOwner(0);
  connection->SetPhase(unparsed ? Phase::kHead : Phase::kIdle, connection->until);
  return unparsed ? 1 : 0;
}

bool Resume(int fd, uint64_t word, int64_t until) {
  Connection* const connection = FindYielded(fd);
  if (connection == nullptr) return false;
  constexpr uint64_t kMask = (uint64_t{1} << kStandingBits) - 1;
  const auto standing = static_cast<Standing>(word & kMask);
  if (standing == Standing::kUntouched) return true;
  if (standing != Standing::kBetween) return false;
  connection->input.Clear();
  connection->requests = static_cast<uint32_t>(word >> kStandingBits);
  connection->at_end = false;
  connection->until = until;
  return true;
}

bool Release(int fd) {
  Connection* const connection = FindYielded(fd);
  if (connection == nullptr) return false;
  // It has not ended: it lives on elsewhere.
  connection->ledger = nullptr;
  ConnectionTable::Shared().Close(*connection);
  close(fd);
  return true;
}

}  // namespace http1
