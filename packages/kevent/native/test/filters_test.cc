// Filters whose sources JavaScript cannot make: signals that every thread blocks, pidfds, and descriptors
// that are passed on.
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "check.h"
#include "queue.h"
#include "watcher.h"

using kevent::Descriptor;
using kevent::KEvent;
using kevent::test::Watcher;

namespace {

constexpr int64_t kLong = 10'000'000'000;

// The one thread of this program: what it blocks, all threads block.
void Mask(int how, int signal) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signal);
  CHECK(pthread_sigmask(how, &set, nullptr) == 0);
}

// S2: a signal that all threads block is recorded when it is sent, and not again when it is delivered.
void BlockedSignal() {
  const Watcher watcher;
  KEvent event{};
  Mask(SIG_BLOCK, SIGWINCH);
  CHECK(watcher.Change({SIGWINCH, kevent::EVFILT_SIGNAL, kevent::EV_ADD, 0, 0, 0}) == 0);
  CHECK(watcher.Take(&event, 0) == 0);
  CHECK(kill(getpid(), SIGWINCH) == 0);
  CHECK(watcher.Take(&event, kLong) == 1 && event.ident == SIGWINCH && event.data == 1);
  CHECK(watcher.Take(&event, 0) == 0);
  Mask(SIG_UNBLOCK, SIGWINCH);
  CHECK(watcher.Take(&event, 0) == 0);
  CHECK(kill(getpid(), SIGWINCH) == 0);
  CHECK(watcher.Take(&event, kLong) == 1 && event.data == 1);
  CHECK(watcher.Take(&event, 0) == 0);
}

// S2: one that was pending before the EV_ADD is not for it.
void PendingBeforeAdd() {
  const Watcher watcher;
  KEvent event{};
  Mask(SIG_BLOCK, SIGURG);
  CHECK(kill(getpid(), SIGURG) == 0);
  CHECK(watcher.Change({SIGURG, kevent::EVFILT_SIGNAL, kevent::EV_ADD, 0, 0, 0}) == 0);
  CHECK(watcher.Take(&event, 0) == 0);
  Mask(SIG_UNBLOCK, SIGURG);
  CHECK(watcher.Take(&event, 0) == 0);
}

// S2: a blocked signal ends a wait that has begun.
void BlockedSignalWakes() {
  const Watcher watcher;
  KEvent event{};
  Mask(SIG_BLOCK, SIGWINCH);
  CHECK(watcher.Change({SIGWINCH, kevent::EVFILT_SIGNAL, kevent::EV_ADD, 0, 0, 0}) == 0);
  const pid_t parent = getpid();
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) _exit(kill(parent, SIGWINCH) == 0 ? 0 : 1);
  CHECK(watcher.Take(&event, kLong) == 1 && event.data == 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  Mask(SIG_UNBLOCK, SIGWINCH);
}

Descriptor OpenProcess(pid_t id) {
  constexpr long kPidfdOpen = 434;  // by number: older C libraries do not have it
  return Descriptor(static_cast<int>(syscall(kPidfdOpen, id, 0)));
}

// A child that ends with `status` when its pipe is closed.
struct Child {
  explicit Child(int status) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    const Descriptor reader(ends[0]);
    Descriptor writer(ends[1]);
    id = fork();
    CHECK(id >= 0);
    if (id == 0) {
      writer = Descriptor();
      char byte = 0;
      _exit(read(reader.get(), &byte, 1) == 0 ? status : 1);
    }
    gate = std::move(writer);
    descriptor = OpenProcess(id);
    CHECK(descriptor.valid());
  }
  void Reap() const { CHECK(waitpid(id, nullptr, 0) == id); }

  pid_t id;
  Descriptor gate;
  Descriptor descriptor;
};

constexpr uint16_t kLast = kevent::EV_CLEAR | kevent::EV_EOF | kevent::EV_ONESHOT;

KEvent AddProcess(const Child& child) {
  return {child.descriptor.get(), kevent::EVFILT_PROCDESC, kevent::EV_ADD, kevent::NOTE_EXIT, 0, 6};
}

// PROCDESC: the process ends: its wait status, EOF, and the knote is gone. The child is left to its parent.
void ProcessDescriptor() {
  const Watcher watcher;
  KEvent event{};
  Child child(7);
  CHECK(watcher.Change(AddProcess(child)) == 0);
  CHECK(watcher.Take(&event, 0) == 0);
  child.gate = Descriptor();
  CHECK(watcher.Take(&event, kLong) == 1);
  CHECK(event.ident == child.descriptor.get() && event.filter == kevent::EVFILT_PROCDESC);
  CHECK(event.flags == kLast && event.fflags == kevent::NOTE_EXIT && event.udata == 6);
  CHECK(event.data == 7 << 8);
  CHECK(watcher.Take(&event, 0) == 0 && watcher.queue->List().empty());
  child.Reap();
}

// PROCDESC: beside a READ knote of the same pidfd; of a zombie at once; of one that was reaped ESRCH.
void ProcessDescriptorLater() {
  const Watcher watcher;
  Child child(0);
  CHECK(watcher.Change({child.descriptor.get(), kevent::EVFILT_READ, kevent::EV_ADD | kevent::EV_DISPATCH, 0,
                        0, 0}) == 0);
  CHECK(kill(child.id, SIGKILL) == 0);
  KEvent event{};
  CHECK(watcher.Take(&event, kLong) == 1 && event.filter == kevent::EVFILT_READ);
  CHECK(watcher.Change(AddProcess(child)) == 0);
  CHECK(watcher.Take(&event, 0) == 1);
  CHECK(event.filter == kevent::EVFILT_PROCDESC && event.data == SIGKILL);
  child.Reap();
  CHECK(watcher.Change(AddProcess(child)) == -ESRCH);
}

// PROCDESC: closed behind the queue's back, it brings no event.
void ProcessDescriptorClosed() {
  const Watcher watcher;
  KEvent event{};
  Child child(0);
  CHECK(watcher.Change(AddProcess(child)) == 0);
  child.descriptor = Descriptor();
  child.gate = Descriptor();
  child.Reap();
  CHECK(watcher.Take(&event, 0) == 0);
}

// What arrives is another number of the same file.
Descriptor Pass(int descriptor) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const Descriptor from(ends[0]);
  const Descriptor to(ends[1]);
  char byte = 'x';
  iovec bytes{&byte, 1};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &bytes;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  CHECK(sendmsg(from.get(), &message, 0) == 1);
  CHECK(recvmsg(to.get(), &message, MSG_CMSG_CLOEXEC) == 1);
  int received = -1;
  header = CMSG_FIRSTHDR(&message);
  CHECK(header != nullptr);
  memcpy(&received, CMSG_DATA(header), sizeof(int));
  return Descriptor(received);
}

bool IsReadable(const Descriptor& descriptor) {
  pollfd one{descriptor.get(), POLLIN, 0};
  return poll(&one, 1, 0) == 1;
}

// Linux does not refuse to pass a queue's descriptor. What arrives can be polled, and is no queue: it says
// when something may be due, and takes nothing from the one that has it.
void QueuePassedOn() {
  const Watcher watcher;
  const Descriptor copy = Pass(watcher.queue->descriptor());
  CHECK(copy.valid() && !IsReadable(copy));
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0);
  const Descriptor reader(ends[0]);
  const Descriptor writer(ends[1]);
  CHECK(watcher.Change({reader.get(), kevent::EVFILT_READ, kevent::EV_ADD, 0, 0, 0}) == 0);
  CHECK(write(writer.get(), "abc", 3) == 3);
  CHECK(IsReadable(copy));
  KEvent event{};
  CHECK(watcher.Take(&event, 0) == 1 && event.data == 3);
  std::array<char, 3> buffer{};
  CHECK(read(reader.get(), buffer.data(), buffer.size()) == 3);
  CHECK(watcher.Take(&event, 0) == 0);
  CHECK(!IsReadable(copy));
}

}  // namespace

int main() {
  BlockedSignal();
  PendingBeforeAdd();
  BlockedSignalWakes();
  ProcessDescriptor();
  ProcessDescriptorLater();
  ProcessDescriptorClosed();
  QueuePassedOn();
  puts("filters_test: ok");
  return 0;
}
