#include <fcntl.h>
#include <napi.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "addon_environment.h"
#include "addon_poller.h"
#include "address.h"
#include "descriptor_kind.h"
#include "identity.h"
#include "memory_file.h"
#include "message.h"
#include "terminal.h"
#include "unix_socket.h"

// The thin face of the core for JavaScript: numbers in, a number out, negative errno values for failures.
// Everything that is longer goes through the memory of Exchange. Callers check their arguments (src/): what
// is wrong here is a zero or an empty name, and the kernel's answer to that.
namespace {

using fdpass::Descriptor;
using fdpass::Environment;
using fdpass::Exchange;
using fdpass::Poller;

constexpr size_t kMostArguments = 10;

// The arguments of one call.
class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    napi_get_cb_info(env, info, &count_, values_, nullptr, reinterpret_cast<void**>(&environment_));
    count_ = std::min(count_, kMostArguments);
  }

  Environment& environment() const { return *environment_; }
  fdpass::OwnedDescriptors& owned() const { return environment_->owned(); }
  Exchange& exchange() const { return environment_->exchange(); }
  Napi::Env env() const { return env_; }

  bool Has(size_t index) const {
    napi_valuetype type = napi_undefined;
    return index < count_ && napi_typeof(env_, values_[index], &type) == napi_ok && type != napi_undefined;
  }

  napi_value Value(size_t index) const { return values_[index]; }

  int Int(size_t index) const {
    int32_t value = 0;
    if (index < count_) napi_get_value_int32(env_, values_[index], &value);
    return value;
  }

  double Double(size_t index) const {
    double value = 0;
    if (index < count_) napi_get_value_double(env_, values_[index], &value);
    return value;
  }

  bool Bool(size_t index) const {
    bool value = false;
    if (index < count_) napi_get_value_bool(env_, values_[index], &value);
    return value;
  }

  std::string String(size_t index) const {
    size_t length = 0;
    if (index >= count_ || napi_get_value_string_utf8(env_, values_[index], nullptr, 0, &length) != napi_ok) {
      return {};
    }
    std::string value(length, '\0');
    napi_get_value_string_utf8(env_, values_[index], value.data(), length + 1, &length);
    return value;
  }

  // The part of a Uint8Array that an offset and a length name. It is clipped to what is there.
  iovec Bytes(size_t index, int offset_wanted, int length_wanted) const {
    size_t length = 0;
    void* data = nullptr;
    if (index >= count_ || napi_get_typedarray_info(env_, values_[index], nullptr, &length, &data, nullptr,
                                                    nullptr) != napi_ok) {
      return {};
    }
    const size_t offset = std::min(static_cast<size_t>(std::max(offset_wanted, 0)), length);
    const size_t wanted = static_cast<size_t>(std::max(length_wanted, 0));
    return {static_cast<char*>(data) + offset, std::min(wanted, length - offset)};
  }

  napi_value Return(int64_t number) const {
    napi_value value = nullptr;
    napi_create_int32(env_, static_cast<int32_t>(number), &value);
    return value;
  }

  napi_value Return(const std::string& text) const {
    napi_value value = nullptr;
    napi_create_string_utf8(env_, text.data(), text.size(), &value);
    return value;
  }

  // The new descriptor becomes this thread's, unless there is an error.
  napi_value Own(int error, Descriptor& descriptor) const {
    if (error != 0) return Return(error);
    const int number = descriptor.Release();
    owned().Add(number);
    return Return(number);
  }

  // The same of what a system call has just returned.
  napi_value Own(int number) const {
    if (number < 0) return Return(-errno);
    owned().Add(number);
    return Return(number);
  }

 private:
  napi_env env_;
  size_t count_ = kMostArguments;
  napi_value values_[kMostArguments];
  Environment* environment_ = nullptr;
};

// --- Ownership

// adopt(descriptor): EBUSY when this thread owns it already.
napi_value Adopt(const Call& call) {
  const int descriptor = call.Int(0);
  const int flags = fcntl(descriptor, F_GETFD);
  if (flags < 0) return call.Return(-errno);
  if (!call.owned().Add(descriptor)) return call.Return(-EBUSY);
  if ((flags & FD_CLOEXEC) == 0) fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC);
  return call.Return(0);
}

// adoptAll(numbers, first, count): of an Int32Array; close-on-exec already. A call of native code, in which
// no JavaScript runs: either they are this thread's after it, or it has not begun. Returns how many.
napi_value AdoptAll(const Call& call) {
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  const int64_t first = call.Int(1);
  const int64_t count = call.Int(2);
  if (napi_get_typedarray_info(call.env(), call.Value(0), &type, &length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_int32_array || first < 0 || count < 0 || first + count > static_cast<int64_t>(length)) {
    return call.Return(-EINVAL);
  }
  const auto* numbers = static_cast<const int32_t*>(data) + first;
  for (int64_t i = 0; i < count; ++i) call.owned().Add(numbers[i]);
  return call.Return(count);
}

// take(descriptor): it is the caller's from now on.
napi_value Take(const Call& call) {
  return call.Return(call.owned().Remove(call.Int(0)) ? 0 : -EBADF);
}

napi_value Close(const Call& call) {
  const int descriptor = call.Int(0);
  if (!call.owned().Remove(descriptor)) return call.Return(-EBADF);
  return call.Return(close(descriptor) == 0 ? 0 : -errno);
}

// closeAll(count): of the numbers in the exchange those that are owned. Returns how many.
napi_value CloseAll(const Call& call) {
  int* numbers = call.exchange().numbers + Exchange::kDescriptors;
  const int count = std::clamp(call.Int(0), 0, fdpass::Ancillary::kRoom);
  int kept = 0;
  for (int i = 0; i < count; ++i) {
    if (call.owned().Remove(numbers[i])) numbers[kept++] = numbers[i];
  }
  fdpass::CloseAll(numbers, kept);
  return call.Return(kept);
}

napi_value Duplicate(const Call& call) {
  return call.Own(fcntl(call.Int(0), F_DUPFD_CLOEXEC, 0));
}

// open(path, flags, mode)
napi_value Open(const Call& call) {
  return call.Own(open(call.String(0).c_str(), call.Int(1) | O_CLOEXEC, static_cast<mode_t>(call.Int(2))));
}

// replace(descriptor, other): what `other` is the number of becomes the file of `descriptor`, in one step.
napi_value Replace(const Call& call) {
  return call.Return(dup3(call.Int(0), call.Int(1), O_CLOEXEC) >= 0 ? 0 : -errno);
}

// reopen(descriptor, flags): a description of its own for the same file, pipe or terminal.
napi_value Reopen(const Call& call) {
  const std::string path = "/proc/self/fd/" + std::to_string(call.Int(0));
  // Non-blocking, so that nobody waits for the other end of a FIFO.
  const int flags = call.Int(1);
  const int opened = open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (opened >= 0 && (flags & (O_NONBLOCK | O_PATH)) == 0) fdpass::SetBlocking(opened, true);
  return call.Own(opened);
}

napi_value OwnedCount(const Call& call) {
  return call.Return(static_cast<int64_t>(call.owned().count()));
}

// --- Descriptors of all kinds

napi_value Kind(const Call& call) {
  int error = 0;
  const std::string kind = fdpass::KindOf(call.Int(0), error);
  return error != 0 ? call.Return(error) : call.Return(kind);
}

napi_value FileFlags(const Call& call) {
  const int flags = fcntl(call.Int(0), F_GETFL);
  return call.Return(flags < 0 ? -errno : flags);
}

napi_value SetBlocking(const Call& call) {
  return call.Return(fdpass::SetBlocking(call.Int(0), call.Bool(1)));
}

// terminal(descriptor): its device, and whether it is a master, are left in the exchange.
napi_value Terminal(const Call& call) {
  fdpass::Terminal terminal;
  const int error = fdpass::TerminalOf(call.Int(0), terminal);
  int32_t* numbers = call.exchange().numbers + Exchange::kDescriptors;
  numbers[0] = static_cast<int32_t>(terminal.device);
  numbers[1] = terminal.master ? 1 : 0;
  return call.Return(error);
}

napi_value MemoryFile(const Call& call) {
  Descriptor file;
  const int error = fdpass::MakeMemoryFile(call.String(0).c_str(), file);
  return call.Own(error, file);
}

napi_value Seals(const Call& call) {
  return call.Return(fdpass::Seals(call.Int(0)));
}

napi_value AddSeals(const Call& call) {
  return call.Return(fdpass::AddSeals(call.Int(0), call.Int(1)));
}

napi_value PidfdOpen(const Call& call) {
  Descriptor pidfd;
  const int error = fdpass::PidfdOpen(call.Int(0), pidfd);
  return call.Own(error, pidfd);
}

napi_value PidfdGetfd(const Call& call) {
  Descriptor duplicate;
  const int error = fdpass::PidfdGetfd(call.Int(0), call.Int(1), duplicate);
  return call.Own(error, duplicate);
}

// --- Sockets

napi_value Socket(const Call& call) {
  Descriptor socket;
  const int error = fdpass::MakeSocket(call.Int(0), socket);
  return call.Own(error, socket);
}

// pair(type): both numbers are left in the exchange.
napi_value Pair(const Call& call) {
  Descriptor ends[2];
  const int error = fdpass::MakePair(call.Int(0), ends[0], ends[1]);
  if (error != 0) return call.Return(error);
  for (int i = 0; i < 2; ++i) {
    call.exchange().numbers[Exchange::kDescriptors + static_cast<size_t>(i)] = ends[i].get();
    call.owned().Add(ends[i].Release());
  }
  return call.Return(0);
}

napi_value Connect(const Call& call) {
  return call.Return(fdpass::Connect(call.Int(0), call.String(1)));
}

// bind(socket, name, mode)
napi_value Bind(const Call& call) {
  return call.Return(fdpass::BindWithMode(call.Int(0), call.String(1), call.Int(2)));
}

napi_value Listen(const Call& call) {
  return call.Return(fdpass::Listen(call.Int(0), call.Int(1)));
}

napi_value Accept(const Call& call) {
  Descriptor socket;
  const int error = fdpass::Accept(call.Int(0), socket);
  return call.Own(error, socket);
}

napi_value Shutdown(const Call& call) {
  return call.Return(shutdown(call.Int(0), call.Int(1)) == 0 ? 0 : -errno);
}

// setOption(socket, option, value), of SOL_SOCKET
napi_value SetOption(const Call& call) {
  return call.Return(fdpass::SetOption(call.Int(0), call.Int(1), call.Int(2)));
}

// status(descriptor): domain, type, listening and blocking are left in the exchange.
napi_value Status(const Call& call) {
  fdpass::SocketStatus status;
  const int error = fdpass::StatusOf(call.Int(0), status);
  int32_t* numbers = call.exchange().numbers + Exchange::kDescriptors;
  numbers[0] = status.domain;
  numbers[1] = status.type;
  numbers[2] = status.listening ? 1 : 0;
  numbers[3] = status.blocking ? 1 : 0;
  return call.Return(error);
}

napi_value LocalName(const Call& call) {
  std::string name;
  const int error = fdpass::LocalName(call.Int(0), name);
  return error != 0 ? call.Return(error) : call.Return(name);
}

napi_value PeerName(const Call& call) {
  std::string name;
  const int error = fdpass::PeerName(call.Int(0), name);
  return error != 0 ? call.Return(error) : call.Return(name);
}

void LeaveCredentials(const Call& call, const fdpass::Credentials& credentials) {
  int32_t* numbers = call.exchange().numbers;
  numbers[Exchange::kPid] = credentials.pid;
  numbers[Exchange::kUid] = static_cast<int32_t>(credentials.uid);
  numbers[Exchange::kGid] = static_cast<int32_t>(credentials.gid);
}

// peerCredentials(socket): they are left in the exchange.
napi_value PeerCredentials(const Call& call) {
  fdpass::Credentials credentials{};
  const int error = fdpass::PeerCredentials(call.Int(0), credentials);
  if (error == 0) LeaveCredentials(call, credentials);
  return call.Return(error);
}

napi_value PeerPidfd(const Call& call) {
  Descriptor pidfd;
  const int error = fdpass::PeerPidfd(call.Int(0), pidfd);
  return call.Own(error, pidfd);
}

napi_value Available(const Call& call) {
  return call.Return(fdpass::Available(call.Int(0)));
}

napi_value Unreceived(const Call& call) {
  return call.Return(fdpass::Unreceived(call.Int(0)));
}

// --- Messages

// send(socket, prefix, descriptors, bytes, offset, length, to?, pid?, uid?, gid?): the first `prefix` bytes
// of the exchange, then those of `bytes`; with the first `descriptors` numbers of the exchange. `to` is a
// name, or undefined.
napi_value Send(const Call& call) {
  enum : uint8_t { kSocket, kPrefix, kDescriptorCount, kBytes, kOffset, kLength, kTo, kPid, kUid, kGid };
  Exchange& exchange = call.exchange();
  fdpass::Outgoing message;
  const auto prefix = static_cast<size_t>(call.Int(kPrefix));
  if (prefix > 0) message.parts[message.part_count++] = {exchange.bytes, std::min(prefix, Exchange::kBytes)};
  const iovec bytes = call.Bytes(kBytes, call.Int(kOffset), call.Int(kLength));
  if (bytes.iov_len > 0) message.parts[message.part_count++] = bytes;
  message.descriptors = exchange.numbers + Exchange::kDescriptors;
  message.descriptor_count = std::clamp(call.Int(kDescriptorCount), 0, fdpass::kMaxRights);
  fdpass::Credentials credentials{};
  if (call.Has(kPid)) {
    credentials = {call.Int(kPid), static_cast<uid_t>(call.Double(kUid)),
                   static_cast<gid_t>(call.Double(kGid))};
    message.credentials = &credentials;
  }
  fdpass::Address address;
  if (call.Has(kTo)) {
    const int error = fdpass::NameForConnect(call.String(kTo), address);
    if (error != 0) return call.Return(error);
    message.to = &address.name;
    message.to_length = address.length;
  }
  return call.Return(fdpass::Send(call.Int(kSocket), message));
}

void LeaveName(const Exchange& exchange, const fdpass::Incoming& message) {
  const std::string name = fdpass::NameOf(message.from, message.from_length);
  exchange.numbers[Exchange::kNameLength] = static_cast<int32_t>(name.size());
  memcpy(exchange.name, name.data(), name.size());
}

// receive(socket, most, length, flags?, named?, bytes?, offset?): into `bytes`, or the exchange. `named`: who
// has sent it is left in the exchange too. Descriptors, which are owned by then, and everything else that
// came are left in the exchange. More than `most` descriptors are closed; their number is left, as a negative
// one.
napi_value Receive(const Call& call) {
  enum : uint8_t { kSocket, kMost, kLength, kFlags, kNamed, kBytes, kOffset };
  Exchange& exchange = call.exchange();
  iovec into{exchange.bytes, std::min(static_cast<size_t>(std::max(call.Int(kLength), 0)), Exchange::kBytes)};
  if (call.Has(kBytes)) into = call.Bytes(kBytes, call.Int(kOffset), call.Int(kLength));
  fdpass::Incoming message;
  const ssize_t got = fdpass::Receive(call.Int(kSocket), into.iov_base, into.iov_len, call.Int(kFlags),
                                      call.Bool(kNamed), message);
  if (got < 0) return call.Return(got);

  fdpass::Ancillary& came = message.ancillary;
  int32_t* numbers = exchange.numbers;
  const bool refused = came.count > call.Int(kMost);
  if (refused) fdpass::CloseAll(came.descriptors, came.count);
  for (int i = 0; i < came.count && !refused; ++i) {
    numbers[Exchange::kDescriptors + static_cast<size_t>(i)] = came.descriptors[i];
    call.owned().Add(came.descriptors[i]);
  }
  if (came.pidfd >= 0) call.owned().Add(came.pidfd);
  numbers[Exchange::kCount] = refused ? -came.count : came.count;
  numbers[Exchange::kFlags] = message.flags & (MSG_CTRUNC | MSG_TRUNC);
  numbers[Exchange::kPidfd] = came.pidfd;
  numbers[Exchange::kPid] = -1;
  if (came.has_credentials) LeaveCredentials(call, came.credentials);
  numbers[Exchange::kNameLength] = 0;
  if (message.from_length > sizeof(sa_family_t)) LeaveName(exchange, message);
  return call.Return(got);
}

// --- Waiting

// wait(descriptor, events, milliseconds)
napi_value Wait(const Call& call) {
  const auto events = static_cast<short>(call.Int(1));
  return call.Return(call.environment().Wait(call.env(), call.Int(0), events, call.Double(2)));
}

// startPoller(callback, events)
napi_value StartPoller(const Call& call) {
  const Napi::Function callback(call.env(), call.Value(0));
  return call.Return(Poller::Start(call.env(), callback, Napi::Int32Array(call.env(), call.Value(1))));
}

// watch(descriptor, events, key)
napi_value Watch(const Call& call) {
  const Poller* poller = call.environment().poller;
  if (poller == nullptr) return call.Return(-ECANCELED);
  return call.Return(poller->Watch(call.Int(0), static_cast<uint32_t>(call.Int(1)), call.Int(2)));
}

napi_value RefPoller(const Call& call) {
  Poller* poller = call.environment().poller;
  if (poller != nullptr) poller->Ref(call.Bool(0));
  return call.Return(0);
}

template <napi_value (*function)(const Call&)>
napi_value Run(napi_env env, napi_callback_info info) {
  return function(Call(env, info));
}

struct Entry {
  const char* name;
  napi_callback function;
};

constexpr Entry kEntries[] = {
    {"accept", Run<Accept>},
    {"addSeals", Run<AddSeals>},
    {"adopt", Run<Adopt>},
    {"available", Run<Available>},
    {"bind", Run<Bind>},
    {"close", Run<Close>},
    {"adoptAll", Run<AdoptAll>},
    {"closeAll", Run<CloseAll>},
    {"connect", Run<Connect>},
    {"duplicate", Run<Duplicate>},
    {"fileFlags", Run<FileFlags>},
    {"kind", Run<Kind>},
    {"listen", Run<Listen>},
    {"localName", Run<LocalName>},
    {"memoryFile", Run<MemoryFile>},
    {"open", Run<Open>},
    {"ownedCount", Run<OwnedCount>},
    {"pair", Run<Pair>},
    {"peerCredentials", Run<PeerCredentials>},
    {"peerName", Run<PeerName>},
    {"peerPidfd", Run<PeerPidfd>},
    {"pidfdGetfd", Run<PidfdGetfd>},
    {"pidfdOpen", Run<PidfdOpen>},
    {"receive", Run<Receive>},
    {"refPoller", Run<RefPoller>},
    {"reopen", Run<Reopen>},
    {"replace", Run<Replace>},
    {"seals", Run<Seals>},
    {"send", Run<Send>},
    {"setBlocking", Run<SetBlocking>},
    {"setOption", Run<SetOption>},
    {"shutdown", Run<Shutdown>},
    {"socket", Run<Socket>},
    {"startPoller", Run<StartPoller>},
    {"status", Run<Status>},
    {"take", Run<Take>},
    {"terminal", Run<Terminal>},
    {"unreceived", Run<Unreceived>},
    {"wait", Run<Wait>},
    {"watch", Run<Watch>},
};

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto* environment = new Environment(env);
  env.SetInstanceData(environment);
  environment->MakeExchange(exports);
  for (const Entry& entry : kEntries) {
    napi_value function = nullptr;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, environment, &function);
    exports.Set(entry.name, function);
  }
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
