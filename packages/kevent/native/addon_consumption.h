// A queue consumed in a libuv loop: a JavaScript callback is called with events, in batches.
#ifndef X_KEVENT_ADDON_CONSUMPTION_H_
#define X_KEVENT_ADDON_CONSUMPTION_H_

#include <napi.h>
#include <uv.h>

#include <vector>

#include "addon_environment.h"
#include "queue.h"
#include "registry.h"

namespace kevent {

// The first consumption of an environment waits in the loop's place: its prepare handle blocks in
// Queue::Kevent for as long as libuv says that the loop would (uv_backend_timeout), and the sentinel ends
// that wait when the loop has work. So the kernel wakes exactly one of the threads that share a queue, which
// no descriptor nested in each loop's own epoll could give. Further consumptions of the same environment are
// watched by the loop through the queue's descriptor.
//
// Owns itself from Start until its handles are closed.
class Consumption {
 public:
  struct Lists {
    Napi::Reference<Napi::Uint8Array> changes;
    Napi::Reference<Napi::Uint8Array> events;
    KEvent* change_list;
    int change_room;
    KEvent* event_list;
    int event_room;
    uint8_t* seen;  // JavaScript writes 1 when it has the events
  };

  // `place`, in an object that `owner` keeps alive, is the consumption from now until it has stopped.
  static int Start(Napi::Object owner, Consumption** place, Registry::Share queue, Consumer* consumer,
                   Lists lists, const Napi::Function& callback);
  Consumption(const Consumption&) = delete;
  Consumption& operator=(const Consumption&) = delete;

  void Stop();
  void Ref(bool on);

 private:
  Consumption(Napi::Object owner, Consumption** place, Registry::Share queue, Consumer* consumer, Lists lists,
              const Napi::Function& callback);
  ~Consumption() = default;

  static void OnPrepare(uv_prepare_t* handle);
  static void OnIdle(uv_idle_t* handle);
  static void OnReadable(uv_poll_t* handle, int status, int events);
  static void OnClose(uv_handle_t* handle);
  static void OnTeardown(napi_async_cleanup_hook_handle hook, void* self);

  int Open();
  int64_t LoopTimeout();
  int WaitInLoop();
  bool Serve();
  bool Call(int count);
  void Bequeath(int count);
  void KeepChanges();
  void ApplyLeftChanges();
  void ServeReadable();

  const Napi::Env env_;
  Environment* const environment_;
  const Registry::Share queue_;
  Consumer* const consumer_;
  const Napi::ObjectReference owner_;  // strong: a consumption does not end because nobody names its KQueue
  Consumption** const place_;
  Lists lists_;
  Napi::FunctionReference callback_;
  Napi::AsyncContext context_;
  napi_async_cleanup_hook_handle teardown_ = nullptr;

  bool in_loop_ = false;  // waits in the loop's place
  bool stopped_ = false;
  bool armed_ = false;        // counted among the queue's sleepers while the loop watches its descriptor
  int changes_ = 0;           // to be applied by the next call, as the callback said
  std::vector<KEvent> rest_;  // to be applied before these
  int open_handles_ = 0;
  uv_prepare_t prepare_{};
  uv_idle_t idle_{};  // keeps the loop's own wait at zero
  uv_poll_t poll_{};
  Descriptor polled_;  // a duplicate of the queue's own, where another consumption of this loop watches that
};

}  // namespace kevent

#endif  // X_KEVENT_ADDON_CONSUMPTION_H_
