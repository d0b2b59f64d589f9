#include "addon_consumption.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace kevent {
namespace {

constexpr int kRounds = 8;  // batches served before the loop's other work has its turn

}  // namespace

int Consumption::Start(Napi::Object owner, Consumption** place, Registry::Share queue, Consumer* consumer,
                       Lists lists, const Napi::Function& callback) {
  auto* consumption = new Consumption(owner, place, std::move(queue), consumer, std::move(lists), callback);
  *place = consumption;
  const int error = consumption->Open();
  if (error != 0) consumption->Stop();
  return error;
}

Consumption::Consumption(Napi::Object owner, Consumption** place, Registry::Share queue, Consumer* consumer,
                         Lists lists, const Napi::Function& callback)
    : env_(owner.Env()),
      environment_(Environment::Of(env_)),
      queue_(std::move(queue)),
      consumer_(consumer),
      owner_(Napi::Persistent(owner)),
      place_(place),
      lists_(std::move(lists)),
      callback_(Napi::Persistent(callback)),
      context_(env_, "x.kevent") {}

int Consumption::Open() {
  uv_loop_t* loop = environment_->loop();
  napi_add_async_cleanup_hook(env_, &OnTeardown, this, &teardown_);
  idle_.data = prepare_.data = poll_.data = this;
  uv_idle_init(loop, &idle_);
  uv_idle_start(&idle_, &OnIdle);
  open_handles_ = 1;
  if (environment_->waiting == nullptr && environment_->Watch() == 0) {
    in_loop_ = true;
    environment_->waiting = this;
    uv_prepare_init(loop, &prepare_);
    uv_prepare_start(&prepare_, &OnPrepare);
    open_handles_++;
    return 0;
  }
  int error = uv_poll_init(loop, &poll_, queue_->descriptor());
  if (error == UV_EEXIST) {  // another consumption of this loop, of the same queue
    polled_ = Descriptor(fcntl(queue_->descriptor(), F_DUPFD_CLOEXEC, 0));
    if (!polled_.valid()) return errno;
    error = uv_poll_init(loop, &poll_, polled_.get());
  }
  if (error != 0) return -error;
  open_handles_++;
  return -uv_poll_start(&poll_, UV_READABLE, &OnReadable);
}

void Consumption::Ref(bool on) {
  if (stopped_) return;
  auto* first = reinterpret_cast<uv_handle_t*>(&idle_);
  auto* second =
      in_loop_ ? reinterpret_cast<uv_handle_t*>(&prepare_) : reinterpret_cast<uv_handle_t*>(&poll_);
  for (uv_handle_t* handle : {first, second}) on ? uv_ref(handle) : uv_unref(handle);
}

void Consumption::Stop() {
  if (stopped_) return;
  stopped_ = true;
  *place_ = nullptr;
  ApplyLeftChanges();
  if (armed_) queue_->Disarm();
  armed_ = false;
  if (environment_->waiting == this) environment_->waiting = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&idle_), &OnClose);
  if (in_loop_) {
    uv_close(reinterpret_cast<uv_handle_t*>(&prepare_), &OnClose);
  } else if (open_handles_ == 2) {
    uv_close(reinterpret_cast<uv_handle_t*>(&poll_), &OnClose);
  }
}

// There is no next call to apply them. One by one: an error of one of them stops none of the others, and
// there is nobody to tell.
void Consumption::ApplyLeftChanges() {
  KeepChanges();
  for (const KEvent& change : std::exchange(rest_, {})) {
    static_cast<void>(queue_->Kevent(&change, 1, nullptr, 0, 0, consumer_));
  }
}

void Consumption::OnClose(uv_handle_t* handle) {
  auto* self = static_cast<Consumption*>(handle->data);
  if (--self->open_handles_ > 0) return;
  // Last: the environment waits for this before it ends.
  napi_async_cleanup_hook_handle teardown = self->teardown_;
  {
    const Napi::HandleScope scope(self->env_);
    delete self;
  }
  if (teardown != nullptr) napi_remove_async_cleanup_hook(teardown);
}

void Consumption::OnTeardown(napi_async_cleanup_hook_handle /*hook*/, void* self) {
  static_cast<Consumption*>(self)->Stop();
}

// How long the loop itself would wait, in ns, were it not for this consumption's idle handle.
int64_t Consumption::LoopTimeout() {
  uv_idle_stop(&idle_);
  const int milliseconds = uv_backend_timeout(environment_->loop());
  uv_idle_start(&idle_, &OnIdle);
  return milliseconds < 0 ? Queue::kForever : int64_t{milliseconds} * 1'000'000;
}

int Consumption::WaitInLoop() {
  Gate* gate = environment_->gate();
  // The edge came before this turn of the loop: the loop's own poll, next, sees what it announced.
  if (gate->TakeDirty()) return 0;
  const int64_t timeout = LoopTimeout();
  if (timeout == 0 || environment_->LoopHasWork() || !gate->Enter(queue_.get(), consumer_)) return 0;
  const int count = queue_->Kevent(nullptr, 0, lists_.event_list, lists_.event_room, timeout, consumer_);
  gate->Leave();
  uv_update_time(environment_->loop());  // as the loop does after a wait of its own
  return count == -ECANCELED || count == -EINTR ? 0 : count;
}

// Applies the pending changes and hands over what is due. False: nothing was, or the consumption has ended.
bool Consumption::Serve() {
  if (rest_.empty() && changes_ <= lists_.event_room) {
    const int changes = std::exchange(changes_, 0);
    const int count =
        queue_->Kevent(lists_.change_list, changes, lists_.event_list, lists_.event_room, 0, consumer_);
    return count != 0 && Call(count);
  }
  KeepChanges();
  int count = 0;
  while (count == 0 && !rest_.empty()) {
    const int changes = std::min(static_cast<int>(rest_.size()), lists_.event_room);
    count = queue_->Kevent(rest_.data(), changes, lists_.event_list, lists_.event_room, 0, consumer_);
    rest_.erase(rest_.begin(), rest_.begin() + changes);
  }
  return count != 0 && Call(count);
}

// Each change may fail and is an event then: more of them than there is room for events are applied in parts,
// and the callback may write its list anew in between.
void Consumption::KeepChanges() {
  rest_.insert(rest_.end(), lists_.change_list, lists_.change_list + std::exchange(changes_, 0));
}

// Calls the callback with a number of events, or a negative errno, which is the last call. It answers how
// many changes it has left in the change list. False: the consumption has ended, or pauses.
bool Consumption::Call(int count) {
  const Napi::HandleScope scope(env_);
  napi_value result = nullptr;
  napi_value argv[] = {Napi::Number::New(env_, count)};
  *lists_.seen = 0;
  const napi_status status =
      napi_make_callback(env_, context_, env_.Global(), callback_.Value(), 1, argv, &result);
  napi_value error = nullptr;
  if (status == napi_pending_exception) napi_get_and_clear_last_exception(env_, &error);
  if (status != napi_ok && (*lists_.seen == 0 || !environment_->Alive(env_))) {
    Bequeath(std::max(count, 0));
    return false;
  }
  // What the callback throws is the process's business ('uncaughtException'), and ends neither the
  // consumption nor the events that are still to come.
  if (error != nullptr) napi_fatal_exception(env_, error);
  int32_t changes = 0;
  if (status != napi_ok || napi_get_value_int32(env_, result, &changes) != napi_ok) changes = 0;
  changes_ = std::clamp(changes, 0, lists_.change_room);
  if (stopped_) ApplyLeftChanges();
  if (count < 0) Stop();
  return !stopped_ && status == napi_ok;
}

// What a worker that is being terminated has taken but not seen goes back. What it has seen stays in its
// hands: disabled, and listed as held; or it is told of as an orphan.
void Consumption::Bequeath(int count) {
  if (*lists_.seen == 0) {
    queue_->GiveBack(lists_.event_list, count, *consumer_);
  } else {
    queue_->Orphaned(lists_.event_list, count, *consumer_);
  }
}

void Consumption::OnPrepare(uv_prepare_t* handle) {
  auto* self = static_cast<Consumption*>(handle->data);
  int rounds = 0;
  while (rounds < kRounds && self->Serve()) rounds++;
  if (rounds > 0 || self->stopped_ || !self->rest_.empty()) return;
  const int count = self->WaitInLoop();
  if (count == 0) return;
  for (bool more = self->Call(count); more && rounds < kRounds; rounds++) more = self->Serve();
}

void Consumption::OnReadable(uv_poll_t* handle, int /*status*/, int /*events*/) {
  static_cast<Consumption*>(handle->data)->ServeReadable();
}

void Consumption::OnIdle(uv_idle_t* handle) {
  auto* self = static_cast<Consumption*>(handle->data);
  if (!self->in_loop_) self->ServeReadable();
}

// The idle handle runs for as long as something may be due; then the descriptor is watched.
void Consumption::ServeReadable() {
  if (std::exchange(armed_, false)) queue_->Disarm();
  int rounds = 0;
  while (rounds < kRounds && Serve()) rounds++;
  if (stopped_) return;
  armed_ = rounds < kRounds && changes_ == 0 && rest_.empty() && queue_->Arm();
  if (armed_) {
    uv_idle_stop(&idle_);
  } else {
    uv_idle_start(&idle_, &OnIdle);
  }
}

}  // namespace kevent
