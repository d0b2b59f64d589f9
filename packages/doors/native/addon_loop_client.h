// A session whose replies the event loop of its thread waits for: libuv watches its socket, which is nobody
// else's.
#ifndef X_DOORS_ADDON_LOOP_CLIENT_H_
#define X_DOORS_ADDON_LOOP_CLIENT_H_

#include <napi.h>
#include <uv.h>

#include <array>
#include <cstdint>
#include <utility>

#include "descriptor.h"
#include "loop_session.h"

namespace doors {

class Environment;

class LoopClient {
 public:
  // A new one of the environment, which owns it: its number, or a negative errno.
  static int Open(Napi::Env env, Environment& environment, Descriptor socket, bool area);

  LoopClient(const LoopClient&) = delete;
  LoopClient& operator=(const LoopClient&) = delete;

  LoopSession& session() { return session_; }
  // After anything that the session was asked for: watches for room as long as something waits for that, and
  // keeps the loop alive as long as somebody waits for a reply.
  void Watch();
  // Somebody waits until a call may be made, which keeps the loop alive too.
  void Hold(bool held);
  // It is the environment's no more.
  void Close();

  // Leaves the next reply in the record: as LoopSession::Take.
  int Take();

 private:
  LoopClient(Napi::Env env, Environment& environment, Descriptor socket, bool area)
      : env_(env), environment_(&environment), session_(std::move(socket), area), context_(env, "x.doors") {}
  ~LoopClient() = default;

  int Start();
  std::array<uv_handle_t*, 3> Handles();
  void Deliver(int events);
  void LookBeforeWait();
  void Look();
  void LookOnce();

  static void OnEvents(uv_poll_t* handle, int status, int events);
  static void OnPrepare(uv_prepare_t* handle);
  static void OnClosed(uv_handle_t* handle);
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* self);

  Napi::Env env_;
  Environment* environment_;
  LoopSession session_;
  Napi::AsyncContext context_;
  int32_t id_ = 0;  // 0 once it is closed
  uv_poll_t poll_{};
  uv_prepare_t prepare_{};  // before the loop waits: while the session looks
  uv_idle_t idle_{};        // it must not wait: as long
  int open_ = 0;            // handles
  int watched_ = 0;         // events of the socket
  bool held_ = false;
  napi_async_cleanup_hook_handle teardown_ = nullptr;
};

}  // namespace doors

#endif  // X_DOORS_ADDON_LOOP_CLIENT_H_
