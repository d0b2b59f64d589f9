#include "addon_poller.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "addon_environment.h"

namespace fdpass {
namespace {

constexpr size_t kMostEvents = 64;

}  // namespace

int Poller::Start(Napi::Env env, const Napi::Function& callback, Napi::Int32Array events) {
  auto* poller = new Poller(env, callback, events);
  const int error = poller->Open();
  if (error != 0) {
    delete poller;
    return error;
  }
  poller->environment_->poller = poller;
  return 0;
}

Poller::Poller(Napi::Env env, const Napi::Function& callback, Napi::Int32Array events)
    : env_(env),
      environment_(Environment::Of(env)),
      callback_(Napi::Persistent(callback)),
      events_(Napi::Persistent(events)),
      list_(events.Data()),
      room_(std::min(events.ElementLength() / 2, kMostEvents)),
      context_(env, "x.fdpass") {}

int Poller::Open() {
  if (environment_->loop() == nullptr) return -ENOTSUP;
  epoll_ = Descriptor(epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_.valid()) return -errno;
  const int error = uv_poll_init(environment_->loop(), &handle_, epoll_.get());
  if (error != 0) return error;
  handle_.data = this;
  // From here on the environment waits for the handle before it ends.
  napi_add_async_cleanup_hook(env_, &OnTeardown, this, &teardown_);
  uv_poll_start(&handle_, UV_READABLE, &OnReadable);
  Ref(false);
  return 0;
}

int Poller::Watch(int descriptor, uint32_t events, int32_t key) const {
  epoll_event event{};
  event.events = events | EPOLLET;
  event.data.u32 = static_cast<uint32_t>(key);
  if (events == 0) return epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, descriptor, nullptr) == 0 ? 0 : -errno;
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, descriptor, &event) == 0) return 0;
  if (errno != ENOENT) return -errno;
  return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, descriptor, &event) == 0 ? 0 : -errno;
}

void Poller::Ref(bool on) {
  auto* handle = reinterpret_cast<uv_handle_t*>(&handle_);
  on ? uv_ref(handle) : uv_unref(handle);
}

void Poller::Close() {
  environment_->poller = nullptr;
  uv_close(reinterpret_cast<uv_handle_t*>(&handle_), &OnClosed);
}

void Poller::OnClosed(uv_handle_t* handle) {
  auto* self = static_cast<Poller*>(handle->data);
  napi_async_cleanup_hook_handle teardown = self->teardown_;
  {
    const Napi::HandleScope scope(self->env_);
    delete self;
  }
  // Last: the environment waits for this before it ends.
  napi_remove_async_cleanup_hook(teardown);
}

void Poller::OnTeardown(napi_async_cleanup_hook_handle /*hook*/, void* self) {
  static_cast<Poller*>(self)->Close();
}

void Poller::OnReadable(uv_poll_t* handle, int /*status*/, int /*events*/) {
  static_cast<Poller*>(handle->data)->Deliver();
}

void Poller::Deliver() {
  epoll_event events[kMostEvents];
  const int count = epoll_wait(epoll_.get(), events, static_cast<int>(room_), 0);
  if (count <= 0) return;
  for (int i = 0; i < count; ++i) {
    list_[2 * i] = static_cast<int32_t>(events[i].data.u32);
    list_[2 * i + 1] = static_cast<int32_t>(events[i].events);
  }
  const Napi::HandleScope scope(env_);
  napi_value result = nullptr;
  napi_value argv[] = {Napi::Number::New(env_, count)};
  const napi_status status =
      napi_make_callback(env_, context_, env_.Global(), callback_.Value(), 1, argv, &result);
  if (status != napi_pending_exception) return;
  // Nothing in the callback throws on its own account. What does is the process's business
  // ('uncaughtException').
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok && error != nullptr) {
    napi_fatal_exception(env_, error);
  }
}

}  // namespace fdpass
