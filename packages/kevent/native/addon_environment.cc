#include "addon_environment.h"

#include <poll.h>

#include <cerrno>

namespace kevent {
namespace {

// libuv's threads, because std::thread and pthread_create would need a newer C library than Node does.
int StartDetached(void (*entry)(void*), void* argument) {
  uv_thread_t thread{};  // never joined: the sentinel runs until the process ends
  return -uv_thread_create(&thread, entry, argument);
}

Napi::Value Nothing(const Napi::CallbackInfo& info) {
  return info.Env().Undefined();
}

}  // namespace

Environment::Environment(Napi::Env env) {
  if (napi_get_uv_event_loop(env, &loop_) != napi_ok) loop_ = nullptr;
  probe_ = Napi::Persistent(Napi::Function::New(env, Nothing, "alive"));
}

Environment::~Environment() {
  if (watched_) Sentinel::Get()->Forget(uv_backend_fd(loop_));
}

int Environment::Watch() {
  if (watched_) return 0;
  if (loop_ == nullptr) return ENOTSUP;
  const int error = Sentinel::Get()->Watch(uv_backend_fd(loop_), &gate_, &StartDetached);
  watched_ = error == 0;
  return error;
}

bool Environment::LoopHasWork() const {
  pollfd backend{uv_backend_fd(loop_), POLLIN, 0};
  return poll(&backend, 1, 0) > 0;
}

bool Environment::LoopWatches(int descriptor) const {
  // What uv_poll_init asks before it answers EEXIST, without its making the descriptor non-blocking. The
  // fields are in uv.h, and so part of libuv 1.x's ABI.
  const auto index = static_cast<unsigned>(descriptor);
  return loop_ != nullptr && index < loop_->nwatchers && loop_->watchers[index] != nullptr;
}

bool Environment::Alive(Napi::Env env) {
  // A call into JavaScript fails at once where execution is being terminated; nothing else tells.
  napi_value result = nullptr;
  return napi_call_function(env, env.Global(), probe_.Value(), 0, nullptr, &result) == napi_ok;
}

}  // namespace kevent
