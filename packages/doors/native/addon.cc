#include <napi.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>

#include "addon_call.h"
#include "addon_environment.h"
#include "door_name.h"
#include "info_page.h"

// The thin face of the core for JavaScript. Failures are negative errno values.
namespace {

int32_t Int(const Napi::CallbackInfo& info, size_t index) {
  int32_t value = 0;
  napi_get_value_int32(info.Env(), info[index], &value);
  return value;
}

Napi::Value Page(const Napi::CallbackInfo& info, const void* page, int error) {
  if (page == nullptr) return Napi::Number::New(info.Env(), error);
  auto* memory = static_cast<uint8_t*>(const_cast<void*>(page));
  return Napi::ArrayBuffer::New(info.Env(), memory, doors::kInfoPageSize,
                                [](Napi::Env, void* data) { doors::UnmapInfoPage(data); });
}

// makeInfoPage(file), mapInfoPage(file): an ArrayBuffer; one that is read only must not be written.
Napi::Value MakeInfoPage(const Napi::CallbackInfo& info) {
  int error = 0;
  const void* page = doors::MakeInfoPage(Int(info, 0), error);
  return Page(info, page, error);
}

Napi::Value MapInfoPage(const Napi::CallbackInfo& info) {
  int error = 0;
  const void* page = doors::MapInfoPage(Int(info, 0), error);
  return Page(info, page, error);
}

// exchange(one, other)
Napi::Value Exchange(const Napi::CallbackInfo& info) {
  const std::string one = info[0].ToString();
  const std::string other = info[1].ToString();
  return Napi::Number::New(info.Env(), doors::Exchange(one.c_str(), other.c_str()));
}

// link(descriptor, path)
Napi::Value Link(const Napi::CallbackInfo& info) {
  const std::string path = info[1].ToString();
  return Napi::Number::New(info.Env(), doors::Link(Int(info, 0), path.c_str()));
}

// shutdown(socket, how)
Napi::Value Shutdown(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), shutdown(Int(info, 0), Int(info, 1)) == 0 ? 0 : -errno);
}

// accept(listener): at once, whoever waits for it beside. A negative errno when nobody is there.
Napi::Value Accept(const Napi::CallbackInfo& info) {
  pollfd polled{Int(info, 0), POLLIN, 0};
  if (poll(&polled, 1, 0) != 1) return Napi::Number::New(info.Env(), -EAGAIN);
  const int accepted = accept4(polled.fd, nullptr, nullptr, SOCK_CLOEXEC);
  return Napi::Number::New(info.Env(), accepted >= 0 ? accepted : -errno);
}

// setAdopter(function): who owns the descriptors that come.
Napi::Value SetAdopter(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) return Napi::Number::New(info.Env(), -EINVAL);
  info.Env().GetInstanceData<doors::Environment>()->SetAdopter(info[0].As<Napi::Function>());
  return Napi::Number::New(info.Env(), 0);
}

// setListener(function): who is told of sessions that the event loop waits for.
Napi::Value SetListener(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) return Napi::Number::New(info.Env(), -EINVAL);
  info.Env().GetInstanceData<doors::Environment>()->SetListener(info[0].As<Napi::Function>());
  return Napi::Number::New(info.Env(), 0);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* environment = new doors::Environment(env);
  env.SetInstanceData(environment);
  environment->MakeExchange(exports);
  doors::ExportDoors(exports, environment);
  doors::ExportSessions(exports, environment);
  doors::ExportClients(exports, environment);
  doors::ExportLoopClients(exports, environment);
  exports.Set("accept", Napi::Function::New<Accept>(env, "accept"));
  exports.Set("exchange", Napi::Function::New<Exchange>(env, "exchange"));
  exports.Set("link", Napi::Function::New<Link>(env, "link"));
  exports.Set("makeInfoPage", Napi::Function::New<MakeInfoPage>(env, "makeInfoPage"));
  exports.Set("mapInfoPage", Napi::Function::New<MapInfoPage>(env, "mapInfoPage"));
  exports.Set("setAdopter", Napi::Function::New<SetAdopter>(env, "setAdopter"));
  exports.Set("setListener", Napi::Function::New<SetListener>(env, "setListener"));
  exports.Set("shutdown", Napi::Function::New<Shutdown>(env, "shutdown"));
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
