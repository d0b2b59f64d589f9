// The Node-API surface: arguments are checked in TypeScript, results are counts or negative errno values.
#include <fcntl.h>
#include <napi.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>
#include <vector>

#include "addon_consumption.h"
#include "addon_environment.h"
#include "queue.h"
#include "registry.h"

namespace kevent {
namespace {

// libuv announces the end of a worker through a handle that other work may have marked already; the loop's
// descriptor then shows nothing new. So a thread whose loop has work to do waits in slices: how long such an
// end goes unnoticed at most.
constexpr int64_t kSlice = 50'000'000;

int64_t Now() {
  return static_cast<int64_t>(uv_hrtime());
}

}  // namespace

// A thread's handle on a queue. Every method answers -EBADF once it is closed.
class Handle : public Napi::ObjectWrap<Handle> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Handle",
                       {
                           InstanceMethod<&Handle::Kevent>("kevent"),
                           InstanceMethod<&Handle::Consume>("consume"),
                           InstanceMethod<&Handle::StopConsuming>("stopConsuming"),
                           InstanceMethod<&Handle::Ref>("ref"),
                           InstanceMethod<&Handle::Adopt>("adopt"),
                           InstanceMethod<&Handle::CloseDescriptor>("closeDescriptor"),
                           InstanceMethod<&Handle::Detach>("detach"),
                           InstanceMethod<&Handle::List>("list"),
                           InstanceMethod<&Handle::Orphans>("orphans"),
                           InstanceMethod<&Handle::CloseQueue>("close"),
                           InstanceMethod<&Handle::Release>("release"),
                           InstanceAccessor<&Handle::Id>("id"),
                           InstanceAccessor<&Handle::ConsumerId>("consumer"),
                           InstanceAccessor<&Handle::Descriptor>("descriptor"),
                       });
  }

  // new Handle(counters: Uint8Array over 64 shared bytes) makes a queue; with an id as well it attaches to
  // the one that has these counters. `error` tells of failure.
  //
  // The queue writes to memory that JavaScript owns, and only in calls by handles. Each handle keeps that
  // memory from its own isolate's collector, so that it is there for as long as one of them is.
  explicit Handle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Handle>(info) {
    int error = 0;
    auto memory = info[0].As<Napi::Uint8Array>();
    memory_ = Napi::Reference<Napi::Uint8Array>::New(memory, 1);
    auto* counters = reinterpret_cast<Counters*>(memory.Data());
    if (info.Length() > 1 && info[1].IsNumber()) {
      queue_ = Registry::Get()->Retain(info[1].As<Napi::Number>().Uint32Value());
      if (!queue_ || queue_->closed() || &queue_->counters() != counters) {
        queue_ = {};
        error = EBADF;
      }
    } else if (auto made = Queue::Make(&error, counters); made != nullptr) {
      queue_ = Registry::Get()->Add(std::move(made));
    }
    if (queue_) consumer_ = queue_->MakeConsumer();
    auto self = info.This().As<Napi::Object>();
    self.Set("error", Napi::Number::New(info.Env(), error));
    auto seen = Napi::Uint8Array::New(info.Env(), 1);
    seen_memory_ = Napi::Reference<Napi::Uint8Array>::New(seen, 1);
    seen_ = seen.Data();
    self.Set("seen", seen);
    env_ = info.Env();
    napi_add_env_cleanup_hook(env_, &OnTeardown, this);
  }

  ~Handle() override { LetGo(); }

  void Finalize(Napi::BasicEnv /*env*/) override {
    napi_remove_env_cleanup_hook(env_, &OnTeardown, this);
    LetGo();
  }

 private:
  // The thread ends and has not let go: what its last call has brought may not have been handled.
  static void OnTeardown(void* handle) {
    auto* self = static_cast<Handle*>(handle);
    if (self->queue_) {
      const auto count = static_cast<int>(self->returned_.size());
      if (*self->seen_ != 0)
        self->queue_->Orphaned(self->returned_.data(), count, *self->consumer_);
      else
        self->queue_->GiveBack(self->returned_.data(), count, *self->consumer_);
    }
    self->LetGo();
  }

  void LetGo() {
    if (consumption_ != nullptr) consumption_->Stop();
    returned_.clear();
    queue_ = {};
  }

  Napi::Value Id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), queue_.id()); }
  Napi::Value ConsumerId(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), !queue_ ? 0 : consumer_->id());
  }
  Napi::Value Descriptor(const Napi::CallbackInfo& info) {
    if (queue_) queue_->Expose();
    return Napi::Number::New(info.Env(), !queue_ ? -1 : queue_->descriptor());
  }

  // kevent(changes: Uint8Array, count, events: Uint8Array, max, timeout ns or -1 for ever): count or -errno
  Napi::Value Kevent(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!queue_) return Napi::Number::New(env, -EBADF);
    auto changes = info[0].As<Napi::Uint8Array>();
    const int change_count = info[1].As<Napi::Number>().Int32Value();
    auto events = info[2].As<Napi::Uint8Array>();
    const int max = info[3].As<Napi::Number>().Int32Value();
    const int64_t timeout = info[4].As<Napi::Number>().Int64Value();
    // Their memory may have been transferred to another thread, or shrunk.
    if (change_count > Room(changes) || max > Room(events)) return Napi::Number::New(env, -EINVAL);
    auto* change_list = reinterpret_cast<KEvent*>(changes.Data());
    auto* event_list = reinterpret_cast<KEvent*>(events.Data());
    const int count =
        timeout == 0 || timeout < Queue::kForever || max <= 0
            ? queue_->Kevent(change_list, change_count, event_list, max, timeout, consumer_.get())
            : Block(env, change_list, change_count, event_list, max, timeout);
    *seen_ = 0;
    returned_.assign(event_list, event_list + std::max(count, 0));
    if (env.IsExceptionPending()) return {};
    return Napi::Number::New(env, count);
  }

  static int Room(const Napi::Uint8Array& list) {
    return static_cast<int>(list.ByteLength() / sizeof(KEvent));
  }

  // Waits with the sentinel on guard. What interrupts it is either the end of this worker, which the probe
  // finds out, or work of its loop, which has to wait for as long as JavaScript blocks here.
  int Block(Napi::Env env, const KEvent* changes, int change_count, KEvent* events, int max,
            int64_t timeout) {
    Environment* environment = Environment::Of(env);
    if (const int error = environment->Watch(); error != 0) return -error;
    if (environment->behind) environment->behind = environment->LoopHasWork();
    Queue* const queue = queue_.get();  // the handle is this thread's, which is here
    const int64_t deadline = timeout < 0 ? 0 : Now() + timeout;
    for (int64_t left = timeout;;) {
      if (environment->gate()->TakeDirty()) environment->behind = true;
      if (environment->behind && !environment->Alive(env)) return -EINTR;
      const bool sliced = environment->behind && (left < 0 || left > kSlice);
      if (!environment->gate()->Enter(queue, consumer_.get())) continue;
      const int count =
          queue->Kevent(changes, change_count, events, max, sliced ? kSlice : left, consumer_.get());
      environment->gate()->Leave();
      // EINTR is no news here: a handler in JavaScript can only run once this call has returned, and the
      // kernel gives it without any signal as well (task work of an io_uring, which libuv may have). The wait
      // goes on.
      if (count > 0 && environment->gate()->dirty() && !environment->Alive(env)) {
        queue->GiveBack(events, count, *consumer_);
        return -EINTR;
      }
      if (count != -EINTR && count != -ECANCELED && (count != 0 || !sliced)) return count;
      change_count = 0;  // they are applied
      if (timeout > 0) left = std::max<int64_t>(deadline - Now(), 0);
    }
  }

  // consume(changes, events, callback): the consumption's number, or -errno. The lists are in shared memory,
  // which cannot be taken away.
  Napi::Value Consume(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!queue_) return Napi::Number::New(env, -EBADF);
    if (consumption_ != nullptr) return Napi::Number::New(env, -EBUSY);
    auto changes = info[0].As<Napi::Uint8Array>();
    auto events = info[1].As<Napi::Uint8Array>();
    Consumption::Lists lists{
        Napi::Reference<Napi::Uint8Array>::New(changes, 1),
        Napi::Reference<Napi::Uint8Array>::New(events, 1),
        reinterpret_cast<KEvent*>(changes.Data()),
        Room(changes),
        reinterpret_cast<KEvent*>(events.Data()),
        Room(events),
        seen_,
    };
    if (Environment::Of(env)->loop() == nullptr) return Napi::Number::New(env, -ENOTSUP);
    const int error = Consumption::Start(info.This().As<Napi::Object>(), &consumption_, queue_,
                                         consumer_.get(), std::move(lists), info[2].As<Napi::Function>());
    return Napi::Number::New(env, error != 0 ? -error : ++consumptions_);
  }

  // Whether a consumption still is the one of this number: who stops one twice must not stop the next.
  bool Consumes(const Napi::Value& number) const {
    return consumption_ != nullptr && number.As<Napi::Number>().Int32Value() == consumptions_;
  }

  // stopConsuming(number)
  Napi::Value StopConsuming(const Napi::CallbackInfo& info) {
    if (Consumes(info[0])) consumption_->Stop();
    return info.Env().Undefined();
  }

  // ref(number, on)
  Napi::Value Ref(const Napi::CallbackInfo& info) {
    if (Consumes(info[0])) consumption_->Ref(info[1].As<Napi::Boolean>().Value());
    return info.Env().Undefined();
  }

  // adopt(descriptor): 0, or -errno with nothing changed
  Napi::Value Adopt(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!queue_) return Napi::Number::New(env, -EBADF);
    const int descriptor = info[0].As<Napi::Number>().Int32Value();
    const int flags = fcntl(descriptor, F_GETFD);
    if (flags < 0) return Napi::Number::New(env, -errno);
    if (Environment::Of(env)->LoopWatches(descriptor)) return Napi::Number::New(env, -EBUSY);
    return Napi::Number::New(env, fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) < 0 ? -errno : 0);
  }

  Napi::Value CloseDescriptor(const Napi::CallbackInfo& info) {
    const int descriptor = info[0].As<Napi::Number>().Int32Value();
    return Napi::Number::New(info.Env(), !queue_ ? -EBADF : -queue_->CloseDescriptor(descriptor));
  }

  Napi::Value Detach(const Napi::CallbackInfo& info) {
    const int descriptor = info[0].As<Napi::Number>().Int32Value();
    return Napi::Number::New(info.Env(), !queue_ ? -EBADF : -queue_->Detach(descriptor));
  }

  // Rows of eight numbers: ident, filter, flags, fflags, data, udata, holder, 1 for disabled + 2 for queued.
  Napi::Value List(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    if (!queue_) return Napi::Float64Array::New(env, 0);
    const std::vector<KnoteView> views = queue_->List();
    auto rows = Napi::Float64Array::New(env, views.size() * 8);
    size_t at = 0;
    for (const KnoteView& view : views) {
      const KEvent& event = view.event;
      for (const double value :
           {static_cast<double>(event.ident), static_cast<double>(event.filter),
            static_cast<double>(event.flags), static_cast<double>(event.fflags),
            static_cast<double>(event.data), event.udata, static_cast<double>(view.holder),
            (view.disabled ? 1.0 : 0.0) + (view.queued ? 2.0 : 0.0)}) {
        rows[at++] = value;
      }
    }
    return rows;
  }

  // Rows of seven numbers: ident, filter, flags, fflags, data, udata, holder.
  Napi::Value Orphans(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    const std::vector<Orphan> orphans = queue_ ? queue_->TakeOrphans() : std::vector<Orphan>();
    auto rows = Napi::Float64Array::New(env, orphans.size() * 7);
    size_t at = 0;
    for (const auto& [event, holder] : orphans) {
      for (const double value : {static_cast<double>(event.ident), static_cast<double>(event.filter),
                                 static_cast<double>(event.flags), static_cast<double>(event.fflags),
                                 static_cast<double>(event.data), event.udata, static_cast<double>(holder)}) {
        rows[at++] = value;
      }
    }
    return rows;
  }

  // Ends the queue for every thread.
  Napi::Value CloseQueue(const Napi::CallbackInfo& info) {
    if (queue_) queue_->Close();
    LetGo();
    return info.Env().Undefined();
  }

  // Ends this thread's part of it.
  Napi::Value Release(const Napi::CallbackInfo& info) {
    LetGo();
    return info.Env().Undefined();
  }

  napi_env env_ = nullptr;
  Napi::Reference<Napi::Uint8Array> memory_;  // outlives queue_
  Registry::Share queue_;
  std::unique_ptr<Consumer> consumer_;
  Consumption* consumption_ = nullptr;  // until it has stopped, whoever stops it
  int consumptions_ = 0;
  Napi::Reference<Napi::Uint8Array> seen_memory_;
  uint8_t* seen_ = nullptr;       // JavaScript writes 1 when it has the events that were returned last
  std::vector<KEvent> returned_;  // by the last call of kevent
};

namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new Environment(env));
  exports.Set("Handle", Handle::Define(env));
  return exports;
}

}  // namespace
}  // namespace kevent

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return kevent::Init(env, exports);
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, InitAddon)
