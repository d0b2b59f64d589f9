#include "engine.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>

namespace http1 {

namespace {

// Room for a response head with all its lines and a body that was copied beside it.
constexpr size_t kScratchSize = 96 * 1024;

uint32_t NextEngineId() {
  // Relaxed: only uniqueness matters.
  static std::atomic<uint32_t> next{1};
  return next.fetch_add(1, std::memory_order_relaxed);
}

bool IsOutOfDescriptors(int code) {
  return code == EMFILE || code == ENFILE || code == ENOBUFS || code == ENOMEM;
}

// What accept4(2) reports for a connection that has already died; the next one may be fine.
bool IsLostConnection(int code) {
  return code == ECONNABORTED || code == EINTR || code == EPROTO || code == EPERM || code == ENETDOWN ||
         code == ENOPROTOOPT || code == EHOSTDOWN || code == ENONET || code == EHOSTUNREACH ||
         code == ENETUNREACH;
}

// The 500 for a request whose handler is no more, behind the responses that were held back for it.
void AnswerAbandoned(int fd, Connection& connection) {
  DateLine date;
  date.Update();
  std::array<char, 512> space{};
  HeadWriter writer(space.data(), space.size());
  WriteRefusal(writer, {500, "The handler of this request has ended without an answer."}, date.Text(),
               !connection.head_method);
  if (!connection.output.Append(space.data(), writer.Size())) return;
  // The connection ends in any case, so a result that says it could not be sent changes nothing.
  send(fd, connection.output.data(), connection.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(fd, SHUT_WR);
}

}  // namespace

Engine::Engine(const EngineLimits& limits, const Timeouts& timeouts, const EngineMemory& memory)
    : id_(NextEngineId()), limits_(limits), timeouts_(timeouts), memory_(memory), scratch_(kScratchSize) {}

uint32_t Engine::AddLine(std::string_view line) {
  lines_.emplace_back(line);
  return static_cast<uint32_t>(lines_.size() - 1);
}

uint32_t Engine::Accept(int listener, uint32_t most) {
  memory_.control[layout::kAcceptErrno] = 0;
  if (listener != listener_) {
    // A listener that was inherited may lack it; accepted sockets take it over. Not an error for other
    // families.
    int on = 1;
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    // As may this, and accept4() would then wait for a connection when the backlog is empty.
    ioctl(listener, FIONBIO, &on);
    listener_ = listener;
  }
  const int64_t deadline = MonotonicMilliseconds() + timeouts_.head;
  const auto limit = std::min(most, static_cast<uint32_t>(memory_.accepted_size));
  const bool bounded = AddressLimit::Bounds();
  uint32_t count = 0;
  memory_.control[layout::kBacklogEmpty] = 0;
  // What is closed at once counts as well, or a flood of it would hold the thread here.
  for (uint32_t taken = 0; taken < limit;) {
    sockaddr_storage peer{};
    socklen_t size = sizeof peer;
    const int fd = accept4(listener, bounded ? reinterpret_cast<sockaddr*>(&peer) : nullptr,
                           bounded ? &size : nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
      if (IsLostConnection(errno)) continue;
      if (errno == EAGAIN) {
        memory_.control[layout::kBacklogEmpty] = 1;
        break;
      }
      memory_.control[layout::kAcceptErrno] = errno;
      // The number may be another listener's next time.
      if (!IsOutOfDescriptors(errno)) listener_ = -1;
      break;
    }
    ++taken;
    int error = 0;
    if (TakeIn(fd, bounded ? ClientAddress::Of(peer) : ClientAddress(), deadline, error)) {
      memory_.accepted[count++] = fd;
    } else if (error != 0) {
      memory_.control[layout::kAcceptErrno] = error;
      break;
    }
  }
  memory_.counters[layout::kAccepted] += count;
  return count;
}

bool Engine::TakeIn(int fd, const ClientAddress& address, int64_t deadline, int& error) {
  const bool counted = address.kind != ClientAddress::kNone;
  const AddressLimit::Verdict verdict =
      counted ? AddressLimit::Shared().Enter(address) : AddressLimit::Verdict::kServe;
  const bool refused = verdict != AddressLimit::Verdict::kServe;
  if (refused) memory_.counters[layout::kRefused] += 1;
  Connection* const connection =
      verdict == AddressLimit::Verdict::kDrop ? nullptr : ConnectionTable::Shared().Open(fd);
  if (connection == nullptr) {
    if (verdict != AddressLimit::Verdict::kDrop) {
      if (counted) AddressLimit::Shared().Leave(address, refused);
      error = EMFILE;
    }
    close(fd);
    return false;
  }
  connection->address = address;
  connection->refused = refused;
  connection->SetPhase(Phase::kIdle, deadline);
  if (refused) RefuseAddress(fd, *connection);
  return true;
}

// Says so, whatever the client asks for, and throws away what that is until it has closed.
void Engine::RefuseAddress(int fd, Connection& connection) {
  date_.Update();
  std::array<char, 512> space{};
  HeadWriter writer(space.data(), space.size());
  WriteRefusal(writer, {503, "There are too many connections from this address."}, date_.Text(), true);
  CountResponse(503);
  // A new socket has room for it.
  send(fd, space.data(), writer.Size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  shutdown(fd, SHUT_WR);
  connection.SetPhase(Phase::kLingering, MonotonicMilliseconds() + timeouts_.linger);
}

void Engine::StartLists() {
  memory_.control[layout::kRearmCount] = 0;
  memory_.control[layout::kClosingCount] = 0;
  memory_.control[layout::kWantsRoom] = 0;
  memory_.control[layout::kUnfinished] = 0;
  now_ = MonotonicMilliseconds();
  // Taken out first: what still does not fit goes back where it was.
  std::vector<Late> late;
  late.swap(late_);
  for (const Late& name : late) {
    if (name.closing) {
      NameClosing(name.fd);
    } else {
      NameRearm(name.fd, name.drained);
    }
  }
}

void Engine::NameRearm(int fd, bool drained) {
  const int32_t at = memory_.control[layout::kRearmCount];
  if (static_cast<size_t>(at) == queue_.list_size) {
    late_.push_back({fd, drained, false});
    return;
  }
  queue_.rearm[at] = fd;
  queue_.rearm_drained[at] = drained ? 1 : 0;
  memory_.control[layout::kRearmCount] = at + 1;
}

void Engine::NameClosing(int fd) {
  const int32_t at = memory_.control[layout::kClosingCount];
  if (static_cast<size_t>(at) == queue_.list_size) {
    late_.push_back({fd, false, true});
    return;
  }
  queue_.closing[at] = fd;
  memory_.control[layout::kClosingCount] = at + 1;
}

void Engine::Rearm(int fd, const Connection& connection) {
  NameRearm(fd, connection.drained && !connection.at_end);
}

// The descriptor is only named: it stays ours until Close(), so that its number cannot come back before the
// queue has let go of it.
void Engine::ListClosing(int fd, Connection& connection) {
  LetGo(connection);
  connection.SetPhase(Phase::kClosing, kNoDeadline);
  NameClosing(fd);
}

bool Engine::HasRoom(size_t bytes) const {
  return record_count_ < limits_.batch && memory_.arena_size - arena_used_ >= bytes;
}

bool Engine::Yield(int fd) {
  Connection* const connection = ConnectionTable::Shared().Find(fd);
  if (connection == nullptr || !connection->output.empty()) return false;
  const Phase phase = connection->CurrentPhase();
  if (phase != Phase::kIdle && phase != Phase::kHead) return false;
  connection->Yield();
  ++memory_.control[layout::kYields];
  return true;
}

bool Engine::Unparsed(int fd) {
  Connection* const connection = ConnectionTable::Shared().Find(fd);
  if (connection == nullptr || connection->CurrentPhase() != Phase::kHead || !connection->IsUnparsed())
    return false;
  connection->SetOwner(id_);
  return true;
}

bool Engine::Close(int fd) {
  Connection* const connection = ConnectionTable::Shared().Find(fd);
  if (connection == nullptr) return false;
  if (connection->IsOwnedBy(id_)) LetGo(*connection);
  End(fd, *connection);
  memory_.counters[layout::kClosed] += 1;
  return true;
}

void Engine::CloseListed() {
  const int32_t count = memory_.control[layout::kClosingCount];
  for (int32_t i = 0; i < count; ++i) Close(queue_.closing[i]);
  memory_.control[layout::kClosingCount] = 0;
}

uint32_t Expired(int64_t now, int32_t* out, size_t capacity) {
  uint32_t count = 0;
  ConnectionTable::Shared().ForEach([&](int fd, const Connection& connection) {
    if (count >= capacity || connection.deadline.load(std::memory_order_relaxed) > now) return;
    out[count++] = fd;
  });
  return count;
}

ConnectionCounts CountConnections() {
  ConnectionCounts counts;
  ConnectionTable::Shared().ForEach([&](int, const Connection& connection) {
    ++counts.open;
    switch (connection.CurrentPhase()) {
      case Phase::kIdle:
        ++counts.idle;
        break;
      case Phase::kHead:
        ++counts.reading;
        break;
      case Phase::kHandling:
        ++counts.handling;
        break;
      case Phase::kWriting:
        ++counts.writing;
        break;
      case Phase::kYielded:
        ++counts.yielded;
        break;
      case Phase::kDraining:
      case Phase::kLingering:
      case Phase::kClosing:
      case Phase::kFree:
        ++counts.closing;
        break;
    }
  });
  return counts;
}

bool InHand(int fd) {
  const Connection* const connection = ConnectionTable::Shared().Find(fd);
  if (connection == nullptr) return false;
  switch (connection->CurrentPhase()) {
    case Phase::kHandling:
    case Phase::kWriting:
    case Phase::kClosing:
      return true;
    default:
      return false;
  }
}

uint32_t HeldBy(uint32_t engine, int32_t* out, size_t capacity) {
  uint32_t count = 0;
  ConnectionTable::Shared().ForEach([&](int fd, const Connection& connection) {
    // Acquire pairs with the release of SetPhase(): a request that another engine has in hand has its name by
    // then.
    const Phase phase = connection.phase.load(std::memory_order_acquire);
    const bool in_hand = phase == Phase::kHandling || phase == Phase::kWriting;
    const bool waits = phase == Phase::kHead && connection.IsUnparsed();
    if (count < capacity && (in_hand || waits) && connection.IsOwnedBy(engine)) out[count++] = fd;
  });
  return count;
}

bool Abandon(int fd) {
  Connection* const connection = ConnectionTable::Shared().Find(fd);
  if (connection == nullptr) return false;
  const bool handling = connection->CurrentPhase() == Phase::kHandling;
  if (handling && !connection->response_started) {
    AnswerAbandoned(fd, *connection);
  } else if (handling || connection->CurrentPhase() == Phase::kWriting) {
    ResetOnClose(fd, *connection);
  }
  End(fd, *connection);
  return true;
}

}  // namespace http1
