#include "addon_loop_client.h"

#include <cerrno>

#include "addon_environment.h"
#include "channel.h"

namespace doors {
namespace {

// Replies in a row that are looked for before the loop turns.
constexpr int kMostLooks = 32;

}  // namespace

int LoopClient::Open(Napi::Env env, Environment& environment, Descriptor socket, bool area) {
  const int error = PrepareSocket(socket.get());
  if (error != 0) return error;
  auto* client = new LoopClient(env, environment, std::move(socket), area);
  const int started = client->Start();
  if (started != 0) {
    delete client;
    return started;
  }
  client->id_ = environment.Add(client);
  return client->id_;
}

int LoopClient::Start() {
  uv_loop_t* loop = environment_->loop();
  if (loop == nullptr) return -ENOTSUP;
  const int error = uv_poll_init(loop, &poll_, session_.socket());
  if (error != 0) return error;
  uv_prepare_init(loop, &prepare_);
  uv_idle_init(loop, &idle_);
  for (uv_handle_t* handle : Handles()) {
    handle->data = this;
    uv_unref(handle);
    ++open_;
  }
  // From here on the environment waits for the handles before it ends.
  napi_add_async_cleanup_hook(env_, &OnTeardown, this, &teardown_);
  Watch();
  return 0;
}

std::array<uv_handle_t*, 3> LoopClient::Handles() {
  return {reinterpret_cast<uv_handle_t*>(&poll_), reinterpret_cast<uv_handle_t*>(&prepare_),
          reinterpret_cast<uv_handle_t*>(&idle_)};
}

void LoopClient::Watch() {
  auto* handle = reinterpret_cast<uv_handle_t*>(&poll_);
  session_.awaits() || held_ ? uv_ref(handle) : uv_unref(handle);
  if (session_.looks()) LookBeforeWait();
  const int wanted = session_.queued() ? UV_READABLE | UV_WRITABLE : UV_READABLE;
  if (wanted == watched_) return;
  watched_ = wanted;
  uv_poll_start(&poll_, wanted, &OnEvents);
}

// What runs before the loop waits may have made the call, another session's listener say: then the loop turns
// once more before this one looks. Until it has looked nobody rings.
void LoopClient::LookBeforeWait() {
  uv_prepare_start(&prepare_, &OnPrepare);
  uv_idle_start(&idle_, [](uv_idle_t*) {});
}

void LoopClient::Hold(bool held) {
  held_ = held;
  Watch();
}

void LoopClient::Close() {
  environment_->Remove(id_);
  id_ = 0;
  for (uv_handle_t* handle : Handles()) uv_close(handle, &OnClosed);
  // Not before libuv has forgotten its number.
  session_.Close();
}

void LoopClient::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<LoopClient*>(handle->data);
  if (--self->open_ > 0) return;
  napi_async_cleanup_hook_handle teardown = self->teardown_;
  {
    const Napi::HandleScope scope(self->env_);
    delete self;
  }
  // Last: the environment waits for this before it ends.
  napi_remove_async_cleanup_hook(teardown);
}

void LoopClient::OnTeardown(napi_async_cleanup_hook_handle /*hook*/, void* self) {
  auto* client = static_cast<LoopClient*>(self);
  if (client->id_ != 0) client->Close();
}

void LoopClient::OnPrepare(uv_prepare_t* handle) {
  static_cast<LoopClient*>(handle->data)->Look();
}

// What its listener does makes the next call already, whose reply may be there as soon.
void LoopClient::Look() {
  for (int looks = 0; session_.looks(); ++looks) {
    // Others have their turn, and the loop comes back at once.
    if (looks == kMostLooks) return;
    LookOnce();
    if (id_ == 0) return;
  }
  uv_prepare_stop(&prepare_);
  uv_idle_stop(&idle_);
}

void LoopClient::LookOnce() {
  const Napi::HandleScope scope(env_);
  LoopReply reply;
  const int result = session_.Look(environment_->exchange().reply_bytes, reply);
  Watch();
  if (result > 0) environment_->Leave(reply);
  if (result != 0) environment_->Tell(context_, id_, result);
}

int LoopClient::Take() {
  LoopReply reply;
  const int result = session_.Take(environment_->exchange().reply_bytes, reply);
  Watch();
  if (result > 0) environment_->Leave(reply);
  return result;
}

void LoopClient::OnEvents(uv_poll_t* handle, int status, int events) {
  // What libuv cannot watch any more has nothing that could be read either, which the session finds out.
  auto* self = static_cast<LoopClient*>(handle->data);
  if (status < 0) self->watched_ = 0;  // it has stopped
  self->Deliver(status < 0 ? UV_READABLE : events);
}

// JavaScript is told of a reply, and takes those that follow; of the end; or that something has gone.
void LoopClient::Deliver(int events) {
  const Napi::HandleScope scope(env_);
  const bool flushes = (events & UV_WRITABLE) != 0;
  const int flushed = flushes ? session_.Flush() : 0;
  int result = Take();
  if (result == 0) result = flushed;
  if (result != 0 || flushes) environment_->Tell(context_, id_, result);
}

}  // namespace doors
