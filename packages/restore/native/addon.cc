#include <fcntl.h>
#include <napi.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <string>
#include <vector>

#include "descriptor_look.h"
#include "file_extents.h"
#include "file_name.h"
#include "file_status.h"
#include "kernel_numbers.h"
#include "pipe_content.h"
#include "socket_diagnosis.h"
#include "socket_queue.h"
#include "tcp_connection.h"
#include "terminal_input.h"

// The thin face of the core for JavaScript. Numbers that it returns are results, or negative errno values;
// descriptors that it is given are borrowed. src/collector/binding.ts checks nothing either: it is called by
// the collector alone.
namespace {

constexpr size_t kMostArguments = 6;

class Call {
 public:
  Call(napi_env env, napi_callback_info info) : env_(env) {
    napi_get_cb_info(env, info, &count_, values_, nullptr, nullptr);
    count_ = std::min(count_, kMostArguments);
  }

  napi_env env() const { return env_; }
  napi_value Value(size_t index) const { return values_[index]; }

  int Int(size_t index) const { return static_cast<int>(Long(index)); }

  int64_t Long(size_t index) const {
    int64_t value = 0;
    if (index < count_) napi_get_value_int64(env_, values_[index], &value);
    return value;
  }

  // The memory of a typed array; none of anything else.
  iovec Bytes(size_t index) const {
    bool typed = false;
    if (index >= count_ || napi_is_typedarray(env_, values_[index], &typed) != napi_ok || !typed) return {};
    napi_typedarray_type type = napi_uint8_array;
    size_t length = 0;
    void* data = nullptr;
    napi_get_typedarray_info(env_, values_[index], &type, &length, &data, nullptr, nullptr);
    const size_t width = type == napi_float64_array || type == napi_biguint64_array ? 8
                         : type == napi_uint32_array || type == napi_int32_array    ? 4
                                                                                    : 1;
    return {data, length * width};
  }

  napi_value Return(int64_t number) const {
    napi_value value = nullptr;
    napi_create_int64(env_, number, &value);
    return value;
  }

  napi_value Return(const std::string& bytes) const {
    napi_value value = nullptr;
    void* data = nullptr;
    napi_create_buffer_copy(env_, bytes.size(), bytes.data(), &data, &value);
    return value;
  }

  napi_value Return(const std::vector<char>& bytes) const {
    napi_value value = nullptr;
    void* data = nullptr;
    napi_create_buffer_copy(env_, bytes.size(), bytes.data(), &data, &value);
    return value;
  }

  napi_value Object() const {
    napi_value value = nullptr;
    napi_create_object(env_, &value);
    return value;
  }

  void Put(napi_value object, const char* name, napi_value value) const {
    napi_set_named_property(env_, object, name, value);
  }

  napi_value Numbers(const std::vector<int>& numbers) const {
    napi_value buffer = nullptr;
    napi_value value = nullptr;
    void* data = nullptr;
    if (napi_create_arraybuffer(env_, numbers.size() * sizeof(int), &data, &buffer) != napi_ok)
      return nullptr;
    if (!numbers.empty()) memcpy(data, numbers.data(), numbers.size() * sizeof(int));
    napi_create_typedarray(env_, napi_int32_array, numbers.size(), buffer, 0, &value);
    return value;
  }

 private:
  napi_env env_;
  size_t count_ = kMostArguments;
  napi_value values_[kMostArguments];
};

napi_value Result(const Call& call, int64_t result) {
  return call.Return(result < 0 ? -errno : result);
}

// --- Processes

// compare(pid, pid, type, index, index): kcmp(2)
napi_value Compare(const Call& call) {
  return Result(
      call, syscall(SYS_kcmp, call.Int(0), call.Int(1), call.Int(2), static_cast<unsigned long>(call.Int(3)),
                    static_cast<unsigned long>(call.Int(4))));
}

// compareWatch(pid, number, epoll, watched, nth): whether the nth watch that was added under the number
// `watched` is of the file that `number` is now. All are numbers of the process `pid`.
napi_value CompareWatch(const Call& call) {
  const uint32_t slot[] = {static_cast<uint32_t>(call.Int(2)), static_cast<uint32_t>(call.Int(3)),
                           static_cast<uint32_t>(call.Int(4))};
  return Result(call, syscall(SYS_kcmp, call.Int(0), call.Int(0), restore::kKcmpEpollTarget,
                              static_cast<unsigned long>(call.Int(1)), slot));
}

// signal(pidfd, signal)
napi_value Signal(const Call& call) {
  return Result(call, syscall(SYS_pidfd_send_signal, call.Int(0), call.Int(1), nullptr, 0));
}

// --- Descriptors

// As src/collector/file-status.ts reads it.
void LeaveStatus(const iovec& memory, const struct stat& status) {
  const auto nanoseconds = [](const timespec& time) {
    return static_cast<uint64_t>(time.tv_sec) * 1000000000 + static_cast<uint64_t>(time.tv_nsec);
  };
  const uint64_t values[] = {status.st_dev,
                             status.st_ino,
                             status.st_mode,
                             status.st_nlink,
                             status.st_uid,
                             status.st_gid,
                             status.st_rdev,
                             static_cast<uint64_t>(status.st_size),
                             static_cast<uint64_t>(status.st_blksize),
                             nanoseconds(status.st_atim),
                             nanoseconds(status.st_mtim)};
  if (memory.iov_len >= sizeof values) memcpy(memory.iov_base, values, sizeof values);
}

// look(pid, descriptor, status): its fdinfo and its link, with a NUL between them
napi_value Look(const Call& call) {
  restore::DescriptorLook look{};
  const int error = restore::LookAtDescriptor(call.Int(0), call.Int(1), look);
  if (error != 0) return call.Return(error);
  LeaveStatus(call.Bytes(2), look.status);
  const std::string text = look.info + '\0' + look.link;
  napi_value value = nullptr;
  napi_create_string_utf8(call.env(), text.data(), text.size(), &value);
  return value;
}

// status(path, follow, status): stat(2), or lstat(2)
napi_value Status(const Call& call) {
  char path[PATH_MAX + 64];
  size_t length = 0;
  napi_get_value_string_utf8(call.env(), call.Value(0), path, sizeof path, &length);
  struct stat status {};
  if (!restore::StatusOf(path, call.Int(1) != 0, status)) return call.Return(-errno);
  LeaveStatus(call.Bytes(2), status);
  return call.Return(0);
}

// control(descriptor, command, argument): fcntl(2); the argument is a number, or the memory that it reads or
// writes.
napi_value Control(const Call& call) {
  const iovec memory = call.Bytes(2);
  if (memory.iov_base != nullptr) return Result(call, fcntl(call.Int(0), call.Int(1), memory.iov_base));
  return Result(call, fcntl(call.Int(0), call.Int(1), call.Long(2)));
}

// deviceControl(descriptor, request, argument): ioctl(2), likewise
napi_value DeviceControl(const Call& call) {
  const auto request = static_cast<unsigned long>(call.Long(1));
  const iovec memory = call.Bytes(2);
  if (memory.iov_base != nullptr) return Result(call, ioctl(call.Int(0), request, memory.iov_base));
  return Result(call, ioctl(call.Int(0), request, call.Long(2)));
}

// pipeContent(pipe): {bytes, packets}
napi_value PipeContent(const Call& call) {
  restore::PipeContent content;
  const int error = restore::ReadPipe(call.Int(0), content);
  if (error != 0) return call.Return(error);
  const napi_value object = call.Object();
  call.Put(object, "bytes", call.Return(content.bytes));
  call.Put(object, "packets", call.Numbers(content.packets));
  return object;
}

// terminalInput(terminal, master)
napi_value TerminalInput(const Call& call) {
  std::vector<char> bytes;
  const int error = restore::ReadTerminalInput(call.Int(0), call.Int(1) != 0, bytes);
  return error != 0 ? call.Return(error) : call.Return(bytes);
}

// nameOfHandle(mount, type, handle)
napi_value NameOfHandle(const Call& call) {
  std::string name;
  const iovec handle = call.Bytes(2);
  const int error = restore::NameOfHandle(call.Int(0), call.Int(1), handle.iov_base, handle.iov_len, name);
  return error != 0 ? call.Return(error) : call.Return(name);
}

// textOfLink(link)
napi_value TextOfLink(const Call& call) {
  std::string text;
  const int error = restore::TextOfLink(call.Int(0), text);
  return error != 0 ? call.Return(error) : call.Return(text);
}

// extents(file): a Float64Array with begin and end of each. The descriptor's offset is used up.
napi_value Extents(const Call& call) {
  std::vector<double> bounds;
  const int error = restore::ReadExtents(call.Int(0), bounds);
  if (error != 0) return call.Return(error);
  napi_value buffer = nullptr;
  napi_value value = nullptr;
  void* data = nullptr;
  napi_create_arraybuffer(call.env(), bounds.size() * sizeof(double), &data, &buffer);
  if (!bounds.empty() && data != nullptr) memcpy(data, bounds.data(), bounds.size() * sizeof(double));
  napi_create_typedarray(call.env(), napi_float64_array, bounds.size(), buffer, 0, &value);
  return value;
}

// --- Sockets

// option(socket, level, name, memory): getsockopt(2). Returns the length.
napi_value Option(const Call& call) {
  const iovec memory = call.Bytes(3);
  auto length = static_cast<socklen_t>(memory.iov_len);
  if (getsockopt(call.Int(0), call.Int(1), call.Int(2), memory.iov_base, &length) != 0)
    return call.Return(-errno);
  return call.Return(length);
}

// name(socket, peer, memory): getsockname(2), getpeername(2). Returns the length.
napi_value Name(const Call& call) {
  const iovec memory = call.Bytes(2);
  auto length = static_cast<socklen_t>(memory.iov_len);
  auto* address = static_cast<sockaddr*>(memory.iov_base);
  const int result = call.Int(1) != 0 ? getpeername(call.Int(0), address, &length)
                                      : getsockname(call.Int(0), address, &length);
  return result != 0 ? call.Return(-errno) : call.Return(length);
}

// hasInput(socket): whether something waits to be received. 1, 0, or an errno; nothing is taken, no error
// either.
napi_value HasInput(const Call& call) {
  pollfd polled{call.Int(0), POLLIN | POLLRDHUP, 0};
  if (poll(&polled, 1, 0) < 0) return call.Return(-errno);
  if ((polled.revents & POLLRDHUP) == 0) return call.Return((polled.revents & POLLIN) != 0 ? 1 : 0);
  // What is shut down is always ready.
  int count = 0;
  return call.Return(ioctl(polled.fd, FIONREAD, &count) == 0 && count > 0 ? 1 : 0);
}

// hasError(socket): whether the next call would be told of an error. 1, 0, or an errno; it is not taken
napi_value HasError(const Call& call) {
  pollfd polled{call.Int(0), 0, 0};
  if (poll(&polled, 1, 0) < 0) return call.Return(-errno);
  return call.Return((polled.revents & POLLERR) != 0 ? 1 : 0);
}

// networkNamespace(socket): the inode of the one that it is in
napi_value NetworkNamespace(const Call& call) {
  const restore::UniqueFd space(ioctl(call.Int(0), restore::kSiocGskNs));
  struct stat status {};
  if (!space.valid() || !restore::StatusOf(space.get(), status)) return call.Return(-errno);
  return call.Return(static_cast<int64_t>(status.st_ino));
}

// diagnose(inside, request)
napi_value Diagnose(const Call& call) {
  std::vector<char> answers;
  const iovec request = call.Bytes(1);
  const int error = restore::DiagnoseSockets(call.Int(0), request.iov_base, request.iov_len, answers);
  return error != 0 ? call.Return(error) : call.Return(answers);
}

// socketFile(socket, status): its name
napi_value SocketFile(const Call& call) {
  std::string name;
  struct stat status {};
  const int error = restore::NameOfSocketFile(call.Int(0), name, status);
  if (error != 0) return call.Return(error);
  LeaveStatus(call.Bytes(1), status);
  return call.Return(name);
}

// The descriptors become the adopter's in a call in which no other JavaScript runs; where it fails they are
// closed.
bool Adopt(const Call& call, napi_value adopter, std::vector<restore::UniqueFd>& rights, napi_value numbers) {
  napi_value result = nullptr;
  napi_value arguments[] = {numbers, call.Return(0), call.Return(static_cast<int64_t>(rights.size()))};
  napi_value receiver = call.Object();
  int32_t adopted = 0;
  if (napi_call_function(call.env(), receiver, adopter, 3, arguments, &result) != napi_ok ||
      napi_get_value_int32(call.env(), result, &adopted) != napi_ok ||
      adopted != static_cast<int32_t>(rights.size())) {
    return false;
  }
  for (restore::UniqueFd& right : rights) right.Release();
  return true;
}

// socketQueue(socket, type, adopter): [{bytes, rights, sender}]
napi_value SocketQueue(const Call& call) {
  std::vector<restore::QueuedMessage> messages;
  const int error = restore::ReadSocketQueue(call.Int(0), call.Int(1), messages);
  if (error != 0) return call.Return(error);
  napi_value list = nullptr;
  napi_create_array_with_length(call.env(), messages.size(), &list);
  uint32_t at = 0;
  for (restore::QueuedMessage& message : messages) {
    std::vector<int> numbers;
    for (const restore::UniqueFd& right : message.rights) numbers.push_back(right.get());
    const napi_value rights = call.Numbers(numbers);
    if (!numbers.empty() && !Adopt(call, call.Value(2), message.rights, rights)) return call.Return(-EBADF);
    const napi_value object = call.Object();
    call.Put(object, "bytes", call.Return(message.bytes));
    call.Put(object, "rights", rights);
    call.Put(object, "sender", call.Return(message.sender));
    napi_set_element(call.env(), list, at++, object);
  }
  return list;
}

// tcpConnection(socket, state): {receive, send}; the state is left in a Uint32Array, field by field.
napi_value TcpConnection(const Call& call) {
  restore::TcpConnection connection{};
  restore::TcpQueues queues;
  const int error = restore::ReadTcpConnection(call.Int(0), connection, queues);
  if (error != 0) return call.Return(error);
  const iovec memory = call.Bytes(1);
  if (memory.iov_len >= sizeof connection) memcpy(memory.iov_base, &connection, sizeof connection);
  const napi_value object = call.Object();
  call.Put(object, "receive", call.Return(queues.receive));
  call.Put(object, "send", call.Return(queues.send));
  return object;
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
    {"compare", Run<Compare>},
    {"compareWatch", Run<CompareWatch>},
    {"control", Run<Control>},
    {"deviceControl", Run<DeviceControl>},
    {"diagnose", Run<Diagnose>},
    {"extents", Run<Extents>},
    {"hasError", Run<HasError>},
    {"hasInput", Run<HasInput>},
    {"look", Run<Look>},
    {"name", Run<Name>},
    {"nameOfHandle", Run<NameOfHandle>},
    {"networkNamespace", Run<NetworkNamespace>},
    {"option", Run<Option>},
    {"pipeContent", Run<PipeContent>},
    {"signal", Run<Signal>},
    {"socketFile", Run<SocketFile>},
    {"socketQueue", Run<SocketQueue>},
    {"tcpConnection", Run<TcpConnection>},
    {"textOfLink", Run<TextOfLink>},
    {"status", Run<Status>},
    {"terminalInput", Run<TerminalInput>},
};

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  for (const Entry& entry : kEntries) {
    napi_value function = nullptr;
    napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.function, nullptr, &function);
    exports.Set(entry.name, function);
  }
  return exports;
}

NODE_API_MODULE(NODE_GYP_MODULE_NAME, Init)

}  // namespace
