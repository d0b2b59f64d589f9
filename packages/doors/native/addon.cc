#include <napi.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "door_name.h"
#include "info_page.h"

// The thin face of the core for JavaScript. Failures are negative errno values.
namespace {

#ifndef SO_PEERGROUPS
constexpr int SO_PEERGROUPS = 59;
#endif

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

// groups(socket): supplementary groups of the peer (SO_PEERGROUPS, Linux 4.13).
Napi::Value Groups(const Napi::CallbackInfo& info) {
  std::vector<gid_t> groups(64);
  for (;;) {
    auto size = static_cast<socklen_t>(groups.size() * sizeof(gid_t));
    const int result = getsockopt(Int(info, 0), SOL_SOCKET, SO_PEERGROUPS, groups.data(), &size);
    groups.resize(size / sizeof(gid_t));
    if (result == 0) break;
    if (errno != ERANGE) return Napi::Number::New(info.Env(), -errno);
  }
  auto array = Napi::Uint32Array::New(info.Env(), groups.size());
  std::copy(groups.begin(), groups.end(), array.Data());
  return array;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  exports.Set("exchange", Napi::Function::New<Exchange>(env, "exchange"));
  exports.Set("groups", Napi::Function::New<Groups>(env, "groups"));
  exports.Set("link", Napi::Function::New<Link>(env, "link"));
  exports.Set("makeInfoPage", Napi::Function::New<MakeInfoPage>(env, "makeInfoPage"));
  exports.Set("mapInfoPage", Napi::Function::New<MapInfoPage>(env, "mapInfoPage"));
  exports.Set("shutdown", Napi::Function::New<Shutdown>(env, "shutdown"));
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
