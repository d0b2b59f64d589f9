// What one JavaScript environment (the main thread, or a worker) has of this addon.
#ifndef X_DOORS_ADDON_ENVIRONMENT_H_
#define X_DOORS_ADDON_ENVIRONMENT_H_

#include <napi.h>
#include <uv.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "channel.h"
#include "client_session.h"
#include "counted.h"
#include "descriptor_list.h"
#include "loop_session.h"
#include "memory.h"
#include "packet.h"

namespace doors {

// Memory that native code and JavaScript share, so that a call takes and returns plain numbers.
// src/binding.ts has the same layout.
struct Exchange {
  static constexpr size_t kBytes = kScratch;
  static constexpr size_t kRecord = 8;
  static constexpr size_t kNumbers = kRecord + kMostDescriptors;

  // Of calls, and of replies: a procedure that calls still has its own call's data.
  char* bytes = nullptr;
  char* reply_bytes = nullptr;
  int32_t* numbers = nullptr;

  // In two numbers.
  void SetLength(size_t place, uint64_t length) const;
};

class LoopClient;

class Environment final : public Waiter {
 public:
  explicit Environment(Napi::Env env);
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  // Its clients, and the doors that it has opened, go with it.
  ~Environment();

  const Exchange& exchange() const { return exchange_; }
  uv_loop_t* loop() const { return loop_; }  // null where there is none

  // Behind the record. They are the adopter's now, who closes them when this thread ends, or closed where
  // that is being terminated: they are somebody's at any moment. Returns how many.
  int32_t HandOver(DescriptorList& descriptors);
  void SetAdopter(const Napi::Function& adopter) { adopter_ = Napi::Persistent(adopter); }

  // A reply is put into the record: src/binding.ts has its places.
  void Leave(LoopReply& reply);

  // Sessions that the event loop waits for, until they are closed.
  int32_t Add(LoopClient* client);
  LoopClient* Find(int32_t id) const;
  void Remove(int32_t id) { loop_clients_.erase(id); }
  // Who is told (id, result) when one of them has something.
  void SetListener(const Napi::Function& listener) { listener_ = Napi::Persistent(listener); }
  void Tell(napi_async_context context, int32_t id, int result);

  // Makes the memory, and sets it as properties of `exports`.
  void MakeExchange(Napi::Object exports);

  // ECANCELED when no JavaScript may run here any more.
  int Wait(int socket, short events, const Deadline& deadline) override;

  // Data of the last call or reply that is not in `bytes`, until JavaScript takes it.
  Memory taken;
  size_t taken_length = 0;

  // Of a session that is being taken out of a queue: its number is no other file's meanwhile.
  Shared<Channel> pinned;

  // By which it takes calls; 0 when it never has.
  int thread = 0;

  std::map<int32_t, std::unique_ptr<ClientSession>> clients;
  int32_t NextClient();

 private:
  // False when the worker is being terminated.
  bool Alive();
  bool Adopt(int32_t count);

  Napi::Env env_;
  uv_loop_t* loop_ = nullptr;
  Exchange exchange_;
  Napi::FunctionReference probe_;
  Napi::FunctionReference adopter_;  // (numbers, first, count)
  Napi::FunctionReference listener_;
  std::map<int32_t, LoopClient*> loop_clients_;
  int32_t last_client_ = 0;
  Napi::ObjectReference kept_[3];  // numbers, bytes, reply bytes
};

}  // namespace doors

#endif  // X_DOORS_ADDON_ENVIRONMENT_H_
