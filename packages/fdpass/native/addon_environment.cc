#include "addon_environment.h"

#include <poll.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>

namespace fdpass {
namespace {

using Clock = std::chrono::steady_clock;

// While the event loop has work that its thread, which waits here, cannot come to, the loop's descriptor
// tells nothing new: a termination is looked for this often.
constexpr int kLookMilliseconds = 20;

Napi::Value Nothing(const Napi::CallbackInfo& info) {
  return info.Env().Undefined();
}

int Remaining(Clock::time_point begun, double milliseconds) {
  if (milliseconds < 0) return -1;
  const std::chrono::duration<double, std::milli> gone = Clock::now() - begun;
  // Rounded up: a wait that ends early would be begun again, many times over.
  return static_cast<int>(std::clamp(std::ceil(milliseconds - gone.count()), 0.0, 1e9));
}

}  // namespace

Environment::Environment(Napi::Env env) {
  if (napi_get_uv_event_loop(env, &loop_) != napi_ok) loop_ = nullptr;
  probe_ = Napi::Persistent(Napi::Function::New(env, Nothing, "alive"));
}

void Environment::MakeExchange(Napi::Object exports) {
  const Napi::Env env = exports.Env();
  auto bytes = Napi::Uint8Array::New(env, Exchange::kBytes);
  auto numbers = Napi::Int32Array::New(env, Exchange::kNumbers);
  auto name = Napi::Uint8Array::New(env, sizeof(sockaddr_un::sun_path));
  exchange_ = {reinterpret_cast<char*>(bytes.Data()), numbers.Data(), reinterpret_cast<char*>(name.Data())};
  const std::pair<const char*, Napi::Object> all[] = {{"bytes", bytes}, {"numbers", numbers}, {"name", name}};
  for (size_t i = 0; i < 3; ++i) {
    exports.Set(all[i].first, all[i].second);
    kept_[i] = Napi::Persistent(all[i].second);
  }
}

int Environment::Wait(Napi::Env env, int descriptor, short events, double milliseconds) {
  const Clock::time_point begun = Clock::now();
  bool loop_is_quiet = loop_ != nullptr;
  for (;;) {
    int wait = Remaining(begun, milliseconds);
    const bool in_parts = !loop_is_quiet && (wait < 0 || wait > kLookMilliseconds);
    if (in_parts) wait = kLookMilliseconds;
    // The loop's own epoll instance: Worker.terminate() wakes the loop, as any other work of the loop's does.
    pollfd polled[] = {{descriptor, events, 0}, {loop_is_quiet ? uv_backend_fd(loop_) : -1, POLLIN, 0}};
    const int ready = poll(polled, 2, wait);
    if (ready < 0 && errno != EINTR) return -errno;
    if (ready > 0 && polled[0].revents != 0) return polled[0].revents;
    if (ready == 0 && !in_parts) return 0;
    if (!Alive(env)) return -ECANCELED;
    if (ready > 0) loop_is_quiet = false;
  }
}

bool Environment::Alive(Napi::Env env) {
  // A call into JavaScript fails at once where execution is being terminated; nothing else tells.
  napi_value result = nullptr;
  return napi_call_function(env, env.Global(), probe_.Value(), 0, nullptr, &result) == napi_ok;
}

}  // namespace fdpass
