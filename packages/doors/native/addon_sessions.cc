#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>
#include <vector>

#include "addon_call.h"
#include "peer.h"
#include "service.h"

// The server's sessions, by number. Failures are negative errno values.
namespace doors {
namespace {

// A thread that is to end must not wait longer here.
constexpr int32_t kMostLinger = 100'000;

// sessionOpen(socket, door, flags): takes the socket over.
napi_value SessionOpen(Call& call) {
  Descriptor socket(call.Int(0));
  const uint32_t door = call.Unsigned(1);
  const uint32_t flags = call.Unsigned(2);
  return call.Return(call.bad() ? -EINVAL : OpenSession(std::move(socket), door, flags));
}

napi_value SessionDescriptor(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  return call.Return(call.bad() || !session ? -EBADF : session->Descriptor());
}

// sessionAwaited(id)
napi_value SessionAwaited(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  return call.ReturnBool(!call.bad() && session && session->Awaited());
}

// sessionPin(id)
napi_value SessionPin(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  const auto channel = call.bad() || !session ? Shared<Channel>() : session->Inside();
  call.environment().pinned = channel;
  return call.Return(channel ? channel->socket.get() : -EBADF);
}

// sessionUnpin()
napi_value SessionUnpin(Call& call) {
  call.environment().pinned = {};
  return call.Return(0);
}

// What a call is for JavaScript: numbers, and bytes.
void LeaveCall(Call& call, const ServerSession& session, Take& take) {
  const Exchange& exchange = call.exchange();
  int32_t* numbers = exchange.numbers;
  numbers[0] = static_cast<int32_t>(take.sequence);
  numbers[1] = static_cast<int32_t>(session.door()->number());
  exchange.SetLength(2, take.length);
  numbers[4] = call.environment().HandOver(take.descriptors);
  numbers[5] = take.memory.valid() ? 0 : 1;
  numbers[6] = session.sequential() ? 1 : 0;
  numbers[7] = 0;
  call.environment().taken = std::move(take.memory);
  call.environment().taken_length = take.length;
}

// sessionTake(id, thread, linger): a Taken.
napi_value SessionTake(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  const int thread = call.Int(1);
  const int32_t linger = std::clamp(call.Int(2), 0, kMostLinger);
  if (call.bad() || !session) return call.Return(static_cast<int>(Taken::kOver));
  call.environment().thread = thread;
  Take take(call.exchange().bytes);
  const Taken taken = session->TakeNext(thread, linger, take);
  if (taken == Taken::kCall) {
    LeaveCall(call, *session, take);
  } else {
    call.environment().taken = {};
    call.exchange().numbers[0] = taken == Taken::kAgain ? take.fate : static_cast<int32_t>(take.sequence);
    call.exchange().numbers[1] = static_cast<int32_t>(take.sequence);
  }
  return call.Return(static_cast<int>(taken));
}

// takenData(): undefined when there is none.
napi_value TakenData(Call& call) {
  Memory& taken = call.environment().taken;
  napi_value buffer = nullptr;
  if (!taken.valid()) {
    napi_get_undefined(call.env(), &buffer);
    return buffer;
  }
  const size_t length = call.environment().taken_length;
  const napi_status status = napi_create_external_buffer(
      call.env(), length, taken.get(), [](napi_env, void* data, void*) { free(data); }, nullptr, &buffer);
  if (status == napi_ok) {
    taken.Release();
    return buffer;
  }
  // A runtime that has no memory but its own in buffers.
  napi_create_buffer_copy(call.env(), length, taken.get(), nullptr, &buffer);
  taken = {};
  return buffer;
}

// sessionReply(id, sequence, status, data, descriptors, lingers): Fate.
napi_value SessionReply(Call& call) {
  const uint32_t id = call.Unsigned(0);
  const uint32_t sequence = call.Unsigned(1);
  const int32_t status = call.Int(2);
  const View<char> data = call.Bytes(3);
  const View<int32_t> descriptors = call.Ints(4);
  const bool lingers = call.Bool(5);
  if (call.bad() || status > 0) return call.Return(-EINVAL);
  if (descriptors.length > kMostDescriptors) return call.Return(-E2BIG);
  const Answer answer{status, data.data, data.length, descriptors.data, descriptors.length};
  return call.Return(Reply(id, sequence, answer, lingers));
}

napi_value SessionFlush(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  return call.Return(call.bad() || !session ? static_cast<int>(kGone) : session->Flush());
}

// sessionAborted(id, sequence)
napi_value SessionAborted(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  const uint32_t sequence = call.Unsigned(1);
  return call.ReturnBool(call.bad() || !session || session->Aborted(sequence));
}

// sessionThread(id, sequence)
napi_value SessionThread(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  const uint32_t sequence = call.Unsigned(1);
  return call.Return(call.bad() || !session ? 0 : session->Thread(sequence));
}

// sessionRunning(id)
napi_value SessionRunning(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  return call.Return(call.bad() || !session ? -EBADF : static_cast<int64_t>(session->Running()));
}

// sessionPeer(id): numbers, or EBADF. Unsigned ones are as signed ones with their bits.
napi_value SessionPeer(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  const auto channel = call.bad() || !session ? Shared<Channel>() : session->Inside();
  std::vector<int32_t> peer;
  const int error = channel ? PeerOf(channel->socket.get(), peer) : -EBADF;
  if (error != 0) return call.Return(error);
  return call.ReturnNumbers(peer);
}

// sessionPidfd(id)
napi_value SessionPidfd(Call& call) {
  const auto session = Sessions().Find(call.Unsigned(0));
  const auto channel = call.bad() || !session ? Shared<Channel>() : session->Inside();
  return call.Return(channel ? PeerPidfd(channel->socket.get()) : -EBADF);
}

napi_value SessionClose(Call& call) {
  const uint32_t id = call.Unsigned(0);
  return call.Return(call.bad() ? static_cast<int>(kGone) : CloseSession(id));
}

napi_value ThreadGone(Call& call) {
  const int thread = call.Int(0);
  const bool nobody = call.bad() || thread == 0;
  const std::vector<uint32_t> ids = nobody ? std::vector<uint32_t>() : doors::ThreadGone(thread);
  return call.ReturnNumbers(ids);
}

constexpr Entry kEntries[] = {
    {"sessionAborted", Run<SessionAborted>}, {"sessionAwaited", Run<SessionAwaited>},
    {"sessionClose", Run<SessionClose>},     {"sessionDescriptor", Run<SessionDescriptor>},
    {"sessionFlush", Run<SessionFlush>},     {"sessionPeer", Run<SessionPeer>},
    {"sessionPidfd", Run<SessionPidfd>},     {"sessionOpen", Run<SessionOpen>},
    {"sessionPin", Run<SessionPin>},         {"sessionReply", Run<SessionReply>},
    {"sessionRunning", Run<SessionRunning>}, {"sessionTake", Run<SessionTake>},
    {"sessionThread", Run<SessionThread>},   {"sessionUnpin", Run<SessionUnpin>},
    {"takenData", Run<TakenData>},           {"threadGone", Run<ThreadGone>},
};

}  // namespace

void ExportSessions(Napi::Object exports, Environment* environment) {
  Export(exports, environment, kEntries);
}

}  // namespace doors
