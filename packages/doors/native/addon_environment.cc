#include "addon_environment.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "service.h"

namespace doors {
namespace {

constexpr int64_t kNanosecondsOfMillisecond = 1'000'000;
constexpr int64_t kMostMilliseconds = 1'000'000'000;

// While the event loop has work that its thread, which waits here, cannot come to, the loop's descriptor
// tells nothing new: a termination is looked for this often.
constexpr int kLookMilliseconds = 20;

Napi::Value Nothing(const Napi::CallbackInfo& info) {
  return info.Env().Undefined();
}

// On a page of its own, as the data of an area is: on some processors (AMD's Zen 3) memcpy(3) is five times
// as slow where source and destination lie a few bytes apart in their pages.
Napi::Uint8Array AlignedBytes(Napi::Env env) {
  constexpr size_t kPage = 4096;
  auto memory = Napi::ArrayBuffer::New(env, Exchange::kBytes + kPage);
  const size_t past = reinterpret_cast<uintptr_t>(memory.Data()) % kPage;
  return Napi::Uint8Array::New(env, Exchange::kBytes, memory, past == 0 ? 0 : kPage - past);
}

char* DataOf(const Napi::Uint8Array& bytes) {
  return reinterpret_cast<char*>(const_cast<Napi::Uint8Array&>(bytes).Data());
}

int Remaining(const Deadline& deadline) {
  if (deadline.endless()) return -1;
  // Rounded up: a wait that ends early would be begun again, many times over.
  const int64_t left = (deadline.Left() + kNanosecondsOfMillisecond - 1) / kNanosecondsOfMillisecond;
  return static_cast<int>(std::min(left, kMostMilliseconds));
}

}  // namespace

void Exchange::SetLength(size_t place, uint64_t length) const {
  numbers[place] = static_cast<int32_t>(static_cast<uint32_t>(length));
  numbers[place + 1] = static_cast<int32_t>(static_cast<uint32_t>(length >> 32));
}

int32_t Environment::HandOver(DescriptorList& descriptors) {
  const size_t count = descriptors.size();
  if (count == 0) return 0;
  memcpy(exchange_.numbers + Exchange::kRecord, descriptors.data(), count * sizeof(int32_t));
  if (!Adopt(static_cast<int32_t>(count))) {
    descriptors.Close();
    return 0;
  }
  descriptors.Release();
  return static_cast<int32_t>(count);
}

bool Environment::Adopt(int32_t count) {
  if (adopter_.IsEmpty()) return false;
  const Napi::HandleScope scope(env_);
  const napi_value arguments[] = {kept_[0].Value(), Napi::Number::New(env_, Exchange::kRecord),
                                  Napi::Number::New(env_, count)};
  napi_value result = nullptr;
  int32_t adopted = 0;
  return napi_call_function(env_, Napi::Env(env_).Global(), adopter_.Value(), 3, arguments, &result) ==
             napi_ok &&
         napi_get_value_int32(env_, result, &adopted) == napi_ok && adopted == count;
}

void Environment::Leave(LoopReply& reply) {
  int32_t* numbers = exchange_.numbers;
  numbers[0] = reply.status;
  exchange_.SetLength(1, reply.length);
  numbers[3] = HandOver(reply.descriptors);
  numbers[4] = static_cast<int32_t>(reply.memory.valid() ? Place::kMemory : Place::kScratch);
  numbers[5] = 1;
  numbers[6] = static_cast<int32_t>(reply.sequence);
  numbers[7] = 0;
  taken = std::move(reply.memory);
  taken_length = reply.length;
}

int32_t Environment::NextClient() {
  do {
    last_client_ = last_client_ == INT32_MAX ? 1 : last_client_ + 1;
  } while (clients.count(last_client_) != 0 || loop_clients_.count(last_client_) != 0);
  return last_client_;
}

int32_t Environment::Add(LoopClient* client) {
  const int32_t id = NextClient();
  loop_clients_[id] = client;
  return id;
}

LoopClient* Environment::Find(int32_t id) const {
  const auto found = loop_clients_.find(id);
  return found == loop_clients_.end() ? nullptr : found->second;
}

void Environment::Tell(napi_async_context context, int32_t id, int result) {
  if (listener_.IsEmpty()) return;
  napi_value returned = nullptr;
  const napi_value arguments[] = {Napi::Number::New(env_, id), Napi::Number::New(env_, result)};
  const napi_status status =
      napi_make_callback(env_, context, Napi::Env(env_).Global(), listener_.Value(), 2, arguments, &returned);
  if (status != napi_pending_exception) return;
  // The listener throws nothing on its own account. What does is the process's business
  // ('uncaughtException').
  napi_value error = nullptr;
  if (napi_get_and_clear_last_exception(env_, &error) == napi_ok && error != nullptr) {
    napi_fatal_exception(env_, error);
  }
}

Environment::Environment(Napi::Env env) : env_(env) {
  if (napi_get_uv_event_loop(env, &loop_) != napi_ok) loop_ = nullptr;
  probe_ = Napi::Persistent(Napi::Function::New(env, Nothing, "alive"));
}

Environment::~Environment() {
  CloseDoorsOf(this);
  if (thread != 0) ThreadEnds(thread);
}

void Environment::MakeExchange(Napi::Object exports) {
  const Napi::Env env = exports.Env();
  const Napi::Uint8Array bytes = AlignedBytes(env);
  auto numbers = Napi::Int32Array::New(env, Exchange::kNumbers);
  const Napi::Uint8Array reply_bytes = AlignedBytes(env);
  exchange_ = {DataOf(bytes), DataOf(reply_bytes), numbers.Data()};
  const std::pair<const char*, Napi::Object> all[] = {
      {"numbers", numbers}, {"bytes", bytes}, {"replyBytes", reply_bytes}};
  for (size_t i = 0; i < 3; ++i) {
    exports.Set(all[i].first, all[i].second);
    kept_[i] = Napi::Persistent(all[i].second);
  }
}

int Environment::Wait(int socket, short events, const Deadline& deadline) {
  bool loop_is_quiet = loop_ != nullptr;
  for (;;) {
    int wait = Remaining(deadline);
    const bool in_parts = !loop_is_quiet && (wait < 0 || wait > kLookMilliseconds);
    if (in_parts) wait = kLookMilliseconds;
    // The loop's own epoll instance: Worker.terminate() wakes the loop, as any other work of the loop's does.
    pollfd polled[] = {{socket, events, 0}, {loop_is_quiet ? uv_backend_fd(loop_) : -1, POLLIN, 0}};
    const int ready = poll(polled, 2, wait);
    if (ready < 0 && errno != EINTR) return -errno;
    if (ready > 0 && polled[0].revents != 0) return polled[0].revents;
    if (ready == 0 && !in_parts) return -ETIMEDOUT;
    if (!Alive()) return -ECANCELED;
    if (ready > 0) loop_is_quiet = false;
  }
}

bool Environment::Alive() {
  // A call into JavaScript fails at once where execution is being terminated; nothing else tells.
  const Napi::HandleScope scope(env_);
  napi_value result = nullptr;
  return napi_call_function(env_, env_.Global(), probe_.Value(), 0, nullptr, &result) == napi_ok;
}

}  // namespace doors
