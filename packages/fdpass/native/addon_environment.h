// What one JavaScript environment (the main thread, or a worker) has of this addon.
#ifndef X_FDPASS_ADDON_ENVIRONMENT_H_
#define X_FDPASS_ADDON_ENVIRONMENT_H_

#include <napi.h>
#include <uv.h>

#include "ancillary.h"
#include "owned_descriptors.h"

namespace fdpass {

class Poller;

// Memory that native code and JavaScript share, so that a call takes and returns plain numbers.
// src/binding.ts has the same layout.
struct Exchange {
  static constexpr size_t kBytes = 256 * 1024;
  enum : size_t { kCount, kFlags, kPid, kUid, kGid, kPidfd, kNameLength, kDescriptors = 8 };
  static constexpr size_t kNumbers = kDescriptors + Ancillary::kRoom;

  char* bytes = nullptr;
  int32_t* numbers = nullptr;
  char* name = nullptr;  // of the sender, sizeof(sockaddr_un::sun_path) bytes
};

class Environment {
 public:
  explicit Environment(Napi::Env env);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() = default;

  static Environment* Of(Napi::Env env) { return env.GetInstanceData<Environment>(); }

  uv_loop_t* loop() const { return loop_; }
  OwnedDescriptors& owned() { return owned_; }
  Exchange& exchange() { return exchange_; }

  // Makes the memory, and sets it as properties of `exports`.
  void MakeExchange(Napi::Object exports);

  // poll(2) for `events` until the deadline; milliseconds, negative for ever. What is there, 0 after the
  // deadline, or a negative errno: ECANCELED when no JavaScript may run here any more.
  int Wait(Napi::Env env, int descriptor, short events, double milliseconds);

  Poller* poller = nullptr;

 private:
  // False when the worker is being terminated.
  bool Alive(Napi::Env env);

  uv_loop_t* loop_ = nullptr;
  OwnedDescriptors owned_;
  Exchange exchange_;
  Napi::FunctionReference probe_;
  Napi::ObjectReference kept_[3];
};

}  // namespace fdpass

#endif  // X_FDPASS_ADDON_ENVIRONMENT_H_
