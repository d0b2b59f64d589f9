#include <cerrno>
#include <cmath>
#include <memory>
#include <utility>

#include "addon_call.h"
#include "channel.h"
#include "client_session.h"

// Sessions of this thread as a client, by number. Failures are negative errno values.
namespace doors {
namespace {

constexpr double kNanosecondsOfMillisecond = 1e6;
constexpr double kMostMilliseconds = 1e12;

// clientOpen(socket, areaAsked): takes the socket over.
napi_value ClientOpen(Call& call) {
  Descriptor socket(call.Int(0));
  const bool asked = call.Bool(1);
  if (call.bad()) return call.Return(-EINVAL);
  if (!socket.valid()) return call.Return(-EBADF);
  const int error = PrepareSocket(socket.get());
  if (error != 0) return call.Return(error);
  const int32_t id = call.environment().NextClient();
  call.environment().clients.emplace(id, std::make_unique<ClientSession>(std::move(socket), asked));
  return call.Return(id);
}

Deadline DeadlineOf(double milliseconds) {
  if (milliseconds < 0 || milliseconds > kMostMilliseconds) return {};
  return Deadline(static_cast<int64_t>(milliseconds * kNanosecondsOfMillisecond));
}

void LeaveResponse(Call& call, Response& response, int error) {
  const Exchange& exchange = call.exchange();
  int32_t* numbers = exchange.numbers;
  numbers[0] = response.status;
  exchange.SetLength(1, response.length);
  numbers[3] = error == 0 ? call.environment().HandOver(response.descriptors) : 0;
  numbers[4] = static_cast<int32_t>(response.place);
  numbers[5] = response.sent ? 1 : 0;
  numbers[6] = 0;
  numbers[7] = 0;
  call.environment().taken = error == 0 ? std::move(response.memory) : Memory();
  call.environment().taken_length = response.length;
}

// clientCall(id, sequence, data, descriptors, out, milliseconds)
napi_value ClientCall(Call& call) {
  const int32_t id = call.Int(0);
  const uint32_t sequence = call.Unsigned(1);
  const View<char> data = call.Bytes(2);
  const View<int32_t> descriptors = call.Ints(3);
  const View<char> out = call.Bytes(4);
  const double milliseconds = call.Double(5);
  call.exchange().numbers[5] = 0;
  if (call.bad() || std::isnan(milliseconds)) return call.Return(-EINVAL);
  const auto found = call.environment().clients.find(id);
  if (found == call.environment().clients.end()) return call.Return(-EBADF);
  if (descriptors.length > kMostDescriptors) return call.Return(-E2BIG);
  const Request request{sequence, data.data, data.length, descriptors.data, descriptors.length};
  Response response(call.exchange().reply_bytes);
  response.out = out.data;
  response.out_size = out.length;
  const int error = found->second->Call(request, call.environment(), DeadlineOf(milliseconds), response);
  LeaveResponse(call, response, error);
  return call.Return(error);
}

napi_value ClientClose(Call& call) {
  const int32_t id = call.Int(0);
  return call.Return(!call.bad() && call.environment().clients.erase(id) != 0 ? 0 : -EBADF);
}

constexpr Entry kEntries[] = {
    {"clientCall", Run<ClientCall>},
    {"clientClose", Run<ClientClose>},
    {"clientOpen", Run<ClientOpen>},
};

}  // namespace

void ExportClients(Napi::Object exports, Environment* environment) {
  Export(exports, environment, kEntries);
}

}  // namespace doors
