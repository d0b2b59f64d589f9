#include <cerrno>
#include <utility>

#include "addon_call.h"
#include "addon_loop_client.h"

// Sessions of this thread as a client, whose replies its event loop waits for, by number. Failures are
// negative errno values.
namespace doors {
namespace {

// loopOpen(socket, areaAsked): takes the socket over.
napi_value LoopOpen(Call& call) {
  Descriptor socket(call.Int(0));
  const bool asked = call.Bool(1);
  if (call.bad()) return call.Return(-EINVAL);
  if (!socket.valid()) return call.Return(-EBADF);
  return call.Return(LoopClient::Open(call.env(), call.environment(), std::move(socket), asked));
}

// loopCall(id, sequence, data, descriptors): 0, 1 when it waits for room, or a negative errno.
napi_value LoopCall(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  const uint32_t sequence = call.Unsigned(1);
  const View<char> data = call.Bytes(2);
  const View<int32_t> descriptors = call.Ints(3);
  if (call.bad()) return call.Return(-EINVAL);
  if (client == nullptr) return call.Return(-EBADF);
  if (descriptors.length > kMostDescriptors) return call.Return(-E2BIG);
  const int error =
      client->session().Call({sequence, data.data, data.length, descriptors.data, descriptors.length});
  client->Watch();
  return call.Return(error == 0 && client->session().queued() ? 1 : error);
}

// loopCancel(id, sequence)
napi_value LoopCancel(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  const uint32_t sequence = call.Unsigned(1);
  if (call.bad() || client == nullptr) return call.Return(-EBADF);
  client->session().Cancel(sequence);
  client->Watch();
  return call.Return(0);
}

// loopQueued(id, sequence)
napi_value LoopQueued(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  const uint32_t sequence = call.Unsigned(1);
  return call.ReturnBool(!call.bad() && client != nullptr && client->session().IsQueued(sequence));
}

// loopHold(id, held)
napi_value LoopHold(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  const bool held = call.Bool(1);
  if (call.bad() || client == nullptr) return call.Return(-EBADF);
  client->Hold(held);
  return call.Return(0);
}

// loopTake(id): as LoopSession::Take.
napi_value LoopTake(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  return call.Return(call.bad() || client == nullptr ? -EBADF : client->Take());
}

// loopOver(id)
napi_value LoopOver(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  return call.ReturnBool(call.bad() || client == nullptr || client->session().over());
}

napi_value LoopClose(Call& call) {
  LoopClient* client = call.environment().Find(call.Int(0));
  if (call.bad() || client == nullptr) return call.Return(-EBADF);
  client->Close();
  return call.Return(0);
}

constexpr Entry kEntries[] = {
    {"loopCall", Run<LoopCall>},     {"loopCancel", Run<LoopCancel>}, {"loopClose", Run<LoopClose>},
    {"loopHold", Run<LoopHold>},     {"loopOpen", Run<LoopOpen>},     {"loopOver", Run<LoopOver>},
    {"loopQueued", Run<LoopQueued>}, {"loopTake", Run<LoopTake>},
};

}  // namespace

void ExportLoopClients(Napi::Object exports, Environment* environment) {
  Export(exports, environment, kEntries);
}

}  // namespace doors
