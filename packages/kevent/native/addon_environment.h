// What one JavaScript environment (the main thread, or a worker) has of the queues.
#ifndef X_KEVENT_ADDON_ENVIRONMENT_H_
#define X_KEVENT_ADDON_ENVIRONMENT_H_

#include <napi.h>
#include <uv.h>

#include "sentinel.h"

namespace kevent {

class Consumption;

class Environment {
 public:
  explicit Environment(Napi::Env env);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment();

  static Environment* Of(Napi::Env env) { return env.GetInstanceData<Environment>(); }

  uv_loop_t* loop() const { return loop_; }
  Gate* gate() { return &gate_; }
  // Has the sentinel watch the loop, once. Returns 0 or an errno.
  int Watch();

  // The loop has work right now. An edge tells of work that is new; what the loop has left over has none.
  bool LoopHasWork() const;

  // The loop itself watches the descriptor: a handle of Node's reads or writes it.
  bool LoopWatches(int descriptor) const;

  // False when no JavaScript may run here any more: the worker is being terminated.
  bool Alive(Napi::Env env);

  // The loop has had work that it has not come to since, because its thread blocks in a queue.
  bool behind = false;
  // The one consumption whose wait takes the place of the loop's own; others are watched by the loop.
  Consumption* waiting = nullptr;

 private:
  uv_loop_t* loop_ = nullptr;
  Gate gate_;
  bool watched_ = false;
  Napi::FunctionReference probe_;
};

}  // namespace kevent

#endif  // X_KEVENT_ADDON_ENVIRONMENT_H_
