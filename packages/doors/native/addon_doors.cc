#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "addon_call.h"
#include "info_page.h"
#include "service.h"

// Doors of this process, by number. Failures are negative errno values.
namespace doors {
namespace {

// doorOpen(page, source)
napi_value DoorOpen(Call& call) {
  const int page = call.Int(0);
  const View<char> source = call.Bytes(1);
  if (call.bad()) return call.Return(-EINVAL);
  return call.Return(OpenDoor(page, std::string(source.data, source.length), &call.environment()));
}

napi_value DoorSource(Call& call) {
  const auto door = Doors().Find(call.Unsigned(0));
  if (call.bad() || !door) return call.Return(-EBADF);
  const std::string& source = door->source();
  return call.ReturnCopy(source.data(), source.size());
}

// doorPage(door): a copy.
napi_value DoorPage(Call& call) {
  const auto door = Doors().Find(call.Unsigned(0));
  if (call.bad() || !door) return call.Return(-EBADF);
  return call.ReturnCopy(door->page(), kInfoPageSize);
}

napi_value DoorRunning(Call& call) {
  const auto door = Doors().Find(call.Unsigned(0));
  return call.Return(call.bad() || !door ? -EBADF : static_cast<int64_t>(door->running()));
}

// doorWant(door, want)
napi_value DoorWant(Call& call) {
  const auto door = Doors().Find(call.Unsigned(0));
  const bool want = call.Bool(1);
  return call.Return(call.bad() || !door ? -EBADF : static_cast<int64_t>(door->Want(want)));
}

napi_value DoorClose(Call& call) {
  const uint32_t door = call.Unsigned(0);
  return call.Return(call.bad() ? -EBADF : CloseDoor(door));
}

napi_value SessionsOf(Call& call) {
  const uint32_t door = call.Unsigned(0);
  const std::vector<uint32_t> ids = call.bad() ? std::vector<uint32_t>() : doors::SessionsOf(door);
  return call.ReturnNumbers(ids);
}

constexpr Entry kEntries[] = {
    {"doorClose", Run<DoorClose>},   {"doorOpen", Run<DoorOpen>},     {"doorRunning", Run<DoorRunning>},
    {"doorPage", Run<DoorPage>},     {"doorSource", Run<DoorSource>}, {"doorWant", Run<DoorWant>},
    {"sessionsOf", Run<SessionsOf>},
};

}  // namespace

void ExportDoors(Napi::Object exports, Environment* environment) {
  Export(exports, environment, kEntries);
}

}  // namespace doors
