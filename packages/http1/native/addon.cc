#include <napi.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "address_limit.h"
#include "connection.h"
#include "engine.h"
#include "hand_over.h"
#include "layout.h"
#include "ledger.h"
#include "listener.h"

// The thin face of the engine for JavaScript. Positions, counts and descriptors are numbers; failures of
// system calls are negative errno values or { syscall, errno }.
namespace {

using http1::layout::kControlSize;
using http1::layout::kCounterSize;

struct Memory {
  char* data = nullptr;
  size_t bytes = 0;
};

// The bytes under a typed array, which may stand on shared memory.
bool Look(napi_env env, napi_value value, Memory& memory) {
  bool is_array = false;
  if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array) return false;
  napi_typedarray_type type{};
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok) return false;
  size_t width = 1;
  if (type == napi_int32_array || type == napi_uint32_array || type == napi_float32_array) width = 4;
  if (type == napi_float64_array || type == napi_bigint64_array || type == napi_biguint64_array) width = 8;
  if (type == napi_int16_array || type == napi_uint16_array) width = 2;
  memory = {static_cast<char*>(data), length * width};
  return true;
}

Napi::Value Throw(const Napi::CallbackInfo& info, const char* message) {
  Napi::TypeError::New(info.Env(), message).ThrowAsJavaScriptException();
  return info.Env().Undefined();
}

Napi::Object Failure(Napi::Env env, const http1::SystemError& error) {
  auto failure = Napi::Object::New(env);
  failure.Set("syscall", error.syscall);
  failure.Set("errno", -error.code);
  return failure;
}

int32_t Int(const Napi::CallbackInfo& info, size_t index) {
  int32_t value = 0;
  napi_get_value_int32(info.Env(), info[index], &value);
  return value;
}

uint32_t Uint(const Napi::CallbackInfo& info, size_t index) {
  return static_cast<uint32_t>(Int(info, index));
}

int64_t Long(const Napi::CallbackInfo& info, size_t index) {
  int64_t value = 0;
  napi_get_value_int64(info.Env(), info[index], &value);
  return value;
}

uint64_t Amount(const Napi::Object& options, const char* name) {
  const Napi::Value value = options.Get(name);
  const int64_t amount = value.IsNumber() ? value.As<Napi::Number>().Int64Value() : 0;
  return amount < 0 ? 0 : static_cast<uint64_t>(amount);
}

class EngineWrap : public Napi::ObjectWrap<EngineWrap> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "NativeEngine",
                       {
                           InstanceMethod<&EngineWrap::SetQueue>("setQueue"),
                           InstanceMethod<&EngineWrap::AddLine>("addLine"),
                           InstanceMethod<&EngineWrap::Accept>("accept"),
                           InstanceMethod<&EngineWrap::Read>("read"),
                           InstanceMethod<&EngineWrap::Flush>("flush"),
                           InstanceMethod<&EngineWrap::ReadBody>("readBody"),
                           InstanceMethod<&EngineWrap::TakeTrailers>("takeTrailers"),
                           InstanceMethod<&EngineWrap::AwaitBody>("awaitBody"),
                           InstanceMethod<&EngineWrap::Continue>("continue"),
                           InstanceMethod<&EngineWrap::Write>("write"),
                           InstanceMethod<&EngineWrap::Resume>("resume"),
                           InstanceMethod<&EngineWrap::ResumeFile>("resumeFile"),
                           InstanceMethod<&EngineWrap::Expire>("expire"),
                           InstanceMethod<&EngineWrap::Yield>("yield"),
                           InstanceMethod<&EngineWrap::BeginNoMore>("beginNoMore"),
                           InstanceMethod<&EngineWrap::Unparsed>("unparsed"),
                           InstanceMethod<&EngineWrap::Id>("id"),
                           InstanceMethod<&EngineWrap::Close>("close"),
                           InstanceMethod<&EngineWrap::CloseListed>("closeListed"),
                       });
  }

  // new NativeEngine(options, arena, records, fields, control, counters, accepted)
  explicit EngineWrap(const Napi::CallbackInfo& info) : Napi::ObjectWrap<EngineWrap>(info) {
    Memory arena;
    Memory records;
    Memory fields;
    Memory control;
    Memory counters;
    Memory accepted;
    const bool whole = info.Length() == 7 && info[0].IsObject() && Look(info.Env(), info[1], arena) &&
                       Look(info.Env(), info[2], records) && Look(info.Env(), info[3], fields) &&
                       Look(info.Env(), info[4], control) && Look(info.Env(), info[5], counters) &&
                       Look(info.Env(), info[6], accepted);
    if (!whole) {
      Throw(info, "NativeEngine takes options and six typed arrays.");
      return;
    }
    const auto options = info[0].As<Napi::Object>();
    http1::EngineLimits limits;
    http1::Timeouts timeouts;
    ReadOptions(options, limits, timeouts);
    const size_t least_records = limits.batch * http1::layout::kRecordStride * sizeof(int32_t);
    const size_t least_fields = size_t{limits.batch} * limits.head.fields * 4 * sizeof(int32_t);
    if (records.bytes < least_records || fields.bytes < least_fields ||
        control.bytes < kControlSize * sizeof(int32_t) || counters.bytes < kCounterSize * sizeof(double)) {
      Throw(info, "A typed array is too short for the limits of the engine.");
      return;
    }
    http1::EngineMemory memory;
    memory.arena = arena.data;
    memory.arena_size = arena.bytes;
    memory.records = reinterpret_cast<int32_t*>(records.data);
    memory.fields = reinterpret_cast<int32_t*>(fields.data);
    memory.control = reinterpret_cast<int32_t*>(control.data);
    memory.counters = reinterpret_cast<double*>(counters.data);
    memory.accepted = reinterpret_cast<int32_t*>(accepted.data);
    memory.accepted_size = accepted.bytes / sizeof(int32_t);
    for (size_t i = 1; i < 7; ++i) Keep(info[i], fixed_);
    engine_ = std::make_unique<http1::Engine>(limits, timeouts, memory);
  }

 private:
  // Arrays are objects to Node-API; a strong reference keeps their memory where it is.
  static void Keep(const Napi::Value& value, std::vector<Napi::ObjectReference>& kept) {
    kept.push_back(Napi::Persistent(value.As<Napi::Object>()));
  }

  static void ReadOptions(const Napi::Object& options, http1::EngineLimits& limits,
                          http1::Timeouts& timeouts) {
    limits.head.head = static_cast<uint32_t>(Amount(options, "head"));
    limits.head.target = static_cast<uint32_t>(Amount(options, "requestTarget"));
    limits.head.fields = static_cast<uint32_t>(Amount(options, "headers"));
    limits.head.body = Amount(options, "body");
    limits.body.body = limits.head.body;
    limits.body.extensions = static_cast<uint32_t>(Amount(options, "chunkExtensions"));
    limits.body.trailers = limits.head.head;
    limits.body.trailer_fields = limits.head.fields;
    limits.drain = static_cast<uint32_t>(Amount(options, "drain"));
    limits.batch = static_cast<uint32_t>(Amount(options, "batch"));
    limits.requests = static_cast<uint32_t>(Amount(options, "requestsPerConnection"));
    timeouts.head = static_cast<int64_t>(Amount(options, "headTimeout"));
    timeouts.idle = static_cast<int64_t>(Amount(options, "idleTimeout"));
    timeouts.drain = static_cast<int64_t>(Amount(options, "bodyTimeout"));
  }

  // setQueue(entries, lengths, out, rearm, rearmDrained, closing)
  Napi::Value SetQueue(const Napi::CallbackInfo& info) {
    Memory entries;
    Memory lengths;
    Memory out;
    Memory rearm;
    Memory drained;
    Memory closing;
    const bool whole = info.Length() == 6 && Look(info.Env(), info[0], entries) &&
                       Look(info.Env(), info[1], lengths) && Look(info.Env(), info[2], out) &&
                       Look(info.Env(), info[3], rearm) && Look(info.Env(), info[4], drained) &&
                       Look(info.Env(), info[5], closing);
    if (!whole) return Throw(info, "setQueue takes six typed arrays.");
    http1::EngineQueue queue;
    queue.entries = reinterpret_cast<int32_t*>(entries.data);
    queue.lengths = reinterpret_cast<double*>(lengths.data);
    queue.capacity = std::min(entries.bytes / (http1::layout::kEntryStride * sizeof(int32_t)),
                              lengths.bytes / (http1::layout::kLengthStride * sizeof(double)));
    queue.out = out.data;
    queue.out_size = out.bytes;
    queue.rearm = reinterpret_cast<int32_t*>(rearm.data);
    queue.rearm_drained = reinterpret_cast<uint8_t*>(drained.data);
    queue.closing = reinterpret_cast<int32_t*>(closing.data);
    queue.list_size =
        std::min({rearm.bytes / sizeof(int32_t), drained.bytes, closing.bytes / sizeof(int32_t)});
    capacity_ = queue.capacity;
    growing_.clear();
    for (size_t i = 0; i < 6; ++i) Keep(info[i], growing_);
    engine_->SetQueue(queue);
    return info.Env().Undefined();
  }

  Napi::Value AddLine(const Napi::CallbackInfo& info) {
    Memory line;
    if (!Look(info.Env(), info[0], line)) return Throw(info, "addLine takes bytes.");
    return Napi::Number::New(info.Env(), engine_->AddLine({line.data, line.bytes}));
  }

  Napi::Value Accept(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), engine_->Accept(Int(info, 0), Uint(info, 1)));
  }

  // read(events, count)
  Napi::Value Read(const Napi::CallbackInfo& info) {
    constexpr size_t kEventSize = 32;
    Memory events;
    const uint32_t count = Uint(info, 1);
    if (!Look(info.Env(), info[0], events) || events.bytes / kEventSize < count) {
      return Throw(info, "read takes a typed array of events of 32 bytes and their number.");
    }
    return Napi::Number::New(info.Env(), engine_->Read(events.data, count));
  }

  // flush(count, references, recycle)
  Napi::Value Flush(const Napi::CallbackInfo& info) {
    const uint32_t count = Uint(info, 0);
    if (count > capacity_) return Throw(info, "flush takes at most as many entries as the queue holds.");
    references_.clear();
    if (info[1].IsArray()) {
      const auto list = info[1].As<Napi::Array>();
      const uint32_t length = list.Length();
      for (uint32_t i = 0; i < length; ++i) {
        Memory body;
        const Napi::Value item = list.Get(i);
        if (!Look(info.Env(), item, body)) return Throw(info, "flush takes an array of typed arrays.");
        references_.push_back({body.data, body.bytes});
      }
    }
    const bool recycle = Int(info, 2) != 0;
    return Napi::Number::New(info.Env(), engine_->Flush(count, references_.data(), recycle));
  }

  // readBody(fd, generation, into)
  Napi::Value ReadBody(const Napi::CallbackInfo& info) {
    Memory into;
    if (!Look(info.Env(), info[2], into)) return Throw(info, "readBody takes bytes to fill.");
    const int64_t got = engine_->ReadBody(Int(info, 0), Uint(info, 1), into.data, into.bytes);
    return Napi::Number::New(info.Env(), static_cast<double>(got));
  }

  // takeTrailers(fd, generation): a buffer, or undefined without any.
  Napi::Value TakeTrailers(const Napi::CallbackInfo& info) {
    http1::ByteBuffer* const trailers = engine_->Trailers(Int(info, 0), Uint(info, 1));
    if (trailers == nullptr) return info.Env().Undefined();
    const auto copy = Napi::Buffer<char>::Copy(info.Env(), trailers->data(), trailers->size());
    trailers->Clear();
    return copy;
  }

  Napi::Value AwaitBody(const Napi::CallbackInfo& info) {
    engine_->AwaitBody(Int(info, 0), Uint(info, 1), Int(info, 2) != 0);
    return info.Env().Undefined();
  }

  Napi::Value Continue(const Napi::CallbackInfo& info) {
    engine_->Continue(Int(info, 0), Uint(info, 1));
    return info.Env().Undefined();
  }

  // write(fd, generation, piece, chunked, last)
  Napi::Value Write(const Napi::CallbackInfo& info) {
    Memory piece;
    if (!Look(info.Env(), info[2], piece)) return Throw(info, "write takes bytes.");
    const int64_t waiting = engine_->Write(Int(info, 0), Uint(info, 1), {piece.data, piece.bytes},
                                           Int(info, 3) != 0, Int(info, 4) != 0);
    return Napi::Number::New(info.Env(), static_cast<double>(waiting));
  }

  // resume(fd, generation, rest)
  Napi::Value Resume(const Napi::CallbackInfo& info) {
    Memory rest;
    if (!Look(info.Env(), info[2], rest)) return Throw(info, "resume takes bytes.");
    const int64_t sent = engine_->Resume(Int(info, 0), Uint(info, 1), {rest.data, rest.bytes});
    return Napi::Number::New(info.Env(), static_cast<double>(sent));
  }

  // resumeFile(fd, generation, file, at, left)
  Napi::Value ResumeFile(const Napi::CallbackInfo& info) {
    const int64_t sent =
        engine_->ResumeFile(Int(info, 0), Uint(info, 1), Int(info, 2), Long(info, 3), Long(info, 4));
    return Napi::Number::New(info.Env(), static_cast<double>(sent));
  }

  Napi::Value Expire(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_->Expire(Int(info, 0), Long(info, 1)));
  }

  Napi::Value Yield(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_->Yield(Int(info, 0)));
  }

  Napi::Value Id(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), engine_->Id()); }

  Napi::Value BeginNoMore(const Napi::CallbackInfo& info) {
    engine_->BeginNoMore();
    return info.Env().Undefined();
  }

  Napi::Value Unparsed(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_->Unparsed(Int(info, 0)));
  }

  Napi::Value Close(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), engine_->Close(Int(info, 0)));
  }

  Napi::Value CloseListed(const Napi::CallbackInfo& info) {
    engine_->CloseListed();
    return info.Env().Undefined();
  }

  std::unique_ptr<http1::Engine> engine_;
  std::vector<Napi::ObjectReference> fixed_;
  std::vector<Napi::ObjectReference> growing_;
  std::vector<http1::Reference> references_;
  size_t capacity_ = 0;
};

// listen(host, port, path, backlog, reusePort)
Napi::Value Listen(const Napi::CallbackInfo& info) {
  if (info.Length() != 5 || !info[0].IsString() || !info[2].IsString()) {
    return Throw(info, "listen takes a host, a port, a path, a backlog and whether to share the port.");
  }
  http1::ListenOptions options;
  options.host = info[0].As<Napi::String>();
  options.port = static_cast<uint16_t>(Uint(info, 1));
  options.path = info[2].As<Napi::String>();
  options.backlog = Int(info, 3);
  options.reuse_port = Int(info, 4) != 0;
  http1::SystemError error;
  const int fd = http1::Listen(options, error);
  if (fd < 0) return Failure(info.Env(), error);
  return Napi::Number::New(info.Env(), fd);
}

Napi::Value Describe(Napi::Env env, bool found, const http1::Address& address,
                     const http1::SystemError& error) {
  if (!found) return Failure(env, error);
  auto result = Napi::Object::New(env);
  result.Set("host", address.host);
  result.Set("port", Napi::Number::New(env, address.port));
  result.Set("family", Napi::Number::New(env, address.family));
  return result;
}

Napi::Value LocalAddress(const Napi::CallbackInfo& info) {
  http1::Address address;
  http1::SystemError error;
  const bool found = http1::LocalAddress(Int(info, 0), address, error);
  return Describe(info.Env(), found, address, error);
}

// peerAddress(fd, generation)
Napi::Value PeerAddress(const Napi::CallbackInfo& info) {
  http1::Address address;
  // Of a connection that is closed the number may be another client's.
  http1::SystemError error{"getpeername", ENOTCONN};
  const bool found = http1::ConnectionTable::Shared().Find(Int(info, 0), Uint(info, 1)) != nullptr &&
                     http1::PeerAddress(Int(info, 0), address, error);
  return Describe(info.Env(), found, address, error);
}

Napi::Value CloseDescriptor(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), close(Int(info, 0)) == 0 ? 0 : -errno);
}

// expired(nowMs, out)
Napi::Value Expired(const Napi::CallbackInfo& info) {
  Memory out;
  if (!Look(info.Env(), info[1], out)) return Throw(info, "expired takes a time and a list to fill.");
  const uint32_t count =
      http1::Expired(Long(info, 0), reinterpret_cast<int32_t*>(out.data), out.bytes / sizeof(int32_t));
  return Napi::Number::New(info.Env(), count);
}

Napi::Value Abandon(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), http1::Abandon(Int(info, 0)));
}

Napi::Value InHand(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), http1::InHand(Int(info, 0)));
}

Napi::Value Now(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(http1::MonotonicMilliseconds()));
}

Napi::Value Counts(const Napi::CallbackInfo& info) {
  const http1::ConnectionCounts counts = http1::CountConnections();
  auto result = Napi::Object::New(info.Env());
  const auto set = [&](const char* name, uint32_t value) {
    result.Set(name, Napi::Number::New(info.Env(), value));
  };
  set("open", counts.open);
  set("idle", counts.idle);
  set("reading", counts.reading);
  set("handling", counts.handling);
  set("writing", counts.writing);
  set("closing", counts.closing);
  set("yielded", counts.yielded);
  return result;
}

// limitConnectionsPerAddress(most): 0 for no bound.
Napi::Value LimitConnectionsPerAddress(const Napi::CallbackInfo& info) {
  http1::AddressLimit::SetMost(Uint(info, 0));
  return info.Env().Undefined();
}

// setHandingOver(on)
Napi::Value SetHandingOver(const Napi::CallbackInfo& info) {
  http1::SetHandingOver(Int(info, 0) != 0);
  return info.Env().Undefined();
}

// yielded(out)
Napi::Value Yielded(const Napi::CallbackInfo& info) {
  Memory out;
  if (!Look(info.Env(), info[0], out)) return Throw(info, "yielded takes a list to fill.");
  return Napi::Number::New(info.Env(),
                           http1::Yielded(reinterpret_cast<int32_t*>(out.data), out.bytes / sizeof(int32_t)));
}

// heldBy(engine, out)
Napi::Value HeldBy(const Napi::CallbackInfo& info) {
  Memory out;
  if (!Look(info.Env(), info[1], out)) return Throw(info, "heldBy takes an engine and a list to fill.");
  return Napi::Number::New(
      info.Env(), http1::HeldBy(static_cast<uint32_t>(Int(info, 0)), reinterpret_cast<int32_t*>(out.data),
                                out.bytes / sizeof(int32_t)));
}

// exportState(fd): undefined when it is not yielded.
Napi::Value ExportState(const Napi::CallbackInfo& info) {
  const size_t size = http1::StateSize(Int(info, 0));
  if (size == 0) return info.Env().Undefined();
  auto state = Napi::Buffer<char>::New(info.Env(), size);
  http1::ExportState(Int(info, 0), state.Data(), size);
  return state;
}

// adopt(fd, state): 0 or a negative errno.
Napi::Value Adopt(const Napi::CallbackInfo& info) {
  Memory state;
  if (!Look(info.Env(), info[1], state)) return Throw(info, "adopt takes a descriptor and its state.");
  return Napi::Number::New(info.Env(), http1::Adopt(Int(info, 0), state.data, state.bytes));
}

Napi::Value Reinstate(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), http1::Reinstate(Int(info, 0)));
}

Napi::Value Release(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), http1::Release(Int(info, 0)));
}

// openLedger(connections): its descriptor, or a negative errno.
Napi::Value OpenLedger(const Napi::CallbackInfo& info) {
  Memory list;
  if (!Look(info.Env(), info[0], list)) return Throw(info, "openLedger takes a list of connections.");
  return Napi::Number::New(info.Env(), http1::OpenLedger(reinterpret_cast<const int32_t*>(list.data),
                                                         list.bytes / sizeof(int32_t)));
}

Napi::Value JoinLedger(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), http1::JoinLedger(Int(info, 0)));
}

Napi::Value CloseLedger(const Napi::CallbackInfo& info) {
  http1::CloseLedger();
  return info.Env().Undefined();
}

// takeBack(ledger, connections, idle): how many were kept, or a negative errno.
Napi::Value TakeBack(const Napi::CallbackInfo& info) {
  Memory list;
  if (!Look(info.Env(), info[1], list))
    return Throw(info, "takeBack takes a ledger and a list of connections.");
  return Napi::Number::New(info.Env(), http1::TakeBack(Int(info, 0), reinterpret_cast<int32_t*>(list.data),
                                                       list.bytes / sizeof(int32_t), Int(info, 2)));
}

// What src/layout.ts states again, so that a test can compare.
Napi::Object Layout(Napi::Env env) {
  namespace layout = http1::layout;
  auto result = Napi::Object::New(env);
  const auto set = [&](const char* name, size_t value) {
    result.Set(name, Napi::Number::New(env, static_cast<double>(value)));
  };
  set("recordStride", layout::kRecordStride);
  set("recordLast", layout::kBodySize);
  set("entryStride", layout::kEntryStride);
  set("entryLines", layout::kEntryLines);
  set("entryOutcome", layout::kEntryOutcome);
  set("lengthStride", layout::kLengthStride);
  set("controlSize", layout::kControlSize);
  set("counterSize", layout::kCounterSize);
  auto bounds = Napi::Array::New(env);
  for (const int64_t bound : layout::kDurationBounds) {
    bounds.Set(bounds.Length(), Napi::Number::New(env, static_cast<double>(bound)));
  }
  result.Set("durationBounds", bounds);
  return result;
}

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("NativeEngine", EngineWrap::Define(env));
  exports.Set("listen", Napi::Function::New<Listen>(env));
  exports.Set("localAddress", Napi::Function::New<LocalAddress>(env));
  exports.Set("peerAddress", Napi::Function::New<PeerAddress>(env));
  exports.Set("closeDescriptor", Napi::Function::New<CloseDescriptor>(env));
  exports.Set("expired", Napi::Function::New<Expired>(env));
  exports.Set("abandon", Napi::Function::New<Abandon>(env));
  exports.Set("inHand", Napi::Function::New<InHand>(env));
  exports.Set("limitConnectionsPerAddress", Napi::Function::New<LimitConnectionsPerAddress>(env));
  exports.Set("setHandingOver", Napi::Function::New<SetHandingOver>(env));
  exports.Set("yielded", Napi::Function::New<Yielded>(env));
  exports.Set("heldBy", Napi::Function::New<HeldBy>(env));
  exports.Set("exportState", Napi::Function::New<ExportState>(env));
  exports.Set("adopt", Napi::Function::New<Adopt>(env));
  exports.Set("reinstate", Napi::Function::New<Reinstate>(env));
  exports.Set("release", Napi::Function::New<Release>(env));
  exports.Set("openLedger", Napi::Function::New<OpenLedger>(env));
  exports.Set("joinLedger", Napi::Function::New<JoinLedger>(env));
  exports.Set("closeLedger", Napi::Function::New<CloseLedger>(env));
  exports.Set("takeBack", Napi::Function::New<TakeBack>(env));
  exports.Set("now", Napi::Function::New<Now>(env));
  exports.Set("connections", Napi::Function::New<Counts>(env));
  exports.Set("layout", Layout(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(addon, Initialize)
