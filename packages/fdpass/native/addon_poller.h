// Readiness of sockets in the event loop: one epoll instance a thread, which the loop watches. libuv's own
// watchers would make every watched description non-blocking, also one that is shared with another process.
#ifndef X_FDPASS_ADDON_POLLER_H_
#define X_FDPASS_ADDON_POLLER_H_

#include <napi.h>
#include <uv.h>

#include <vector>

#include "descriptor.h"

namespace fdpass {

class Environment;

class Poller {
 public:
  // Makes the poller of the environment, which calls `callback` with an Int32Array of `events` and their
  // number: key and epoll events, two numbers each. Returns 0 or a negative errno.
  static int Start(Napi::Env env, const Napi::Function& callback, Napi::Int32Array events);

  Poller(const Poller&) = delete;
  Poller& operator=(const Poller&) = delete;

  // Edge-triggered. `key` comes back with each event; zero `events` end it. Returns 0 or a negative errno.
  int Watch(int descriptor, uint32_t events, int32_t key) const;
  // Whether the loop stays alive for it.
  void Ref(bool on);

 private:
  Poller(Napi::Env env, const Napi::Function& callback, Napi::Int32Array events);
  ~Poller() = default;

  int Open();
  void Close();
  void Deliver();

  static void OnReadable(uv_poll_t* handle, int status, int events);
  static void OnClosed(uv_handle_t* handle);
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* self);

  Napi::Env env_;
  Environment* environment_;
  Descriptor epoll_;
  uv_poll_t handle_{};
  Napi::FunctionReference callback_;
  Napi::Reference<Napi::Int32Array> events_;
  int32_t* list_;
  size_t room_;
  Napi::AsyncContext context_;
  napi_async_cleanup_hook_handle teardown_ = nullptr;
};

}  // namespace fdpass

#endif  // X_FDPASS_ADDON_POLLER_H_
