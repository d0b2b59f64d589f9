// What the collector reads out of files, and that it leaves them as they were.
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <pty.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>
#include <vector>

#include "check.h"
#include "descriptor_look.h"
#include "file_extents.h"
#include "file_name.h"
#include "pipe_content.h"
#include "socket_diagnosis.h"
#include "socket_queue.h"
#include "tcp_connection.h"
#include "terminal_input.h"
#include "unique_fd.h"

using restore::QueuedMessage;
using restore::UniqueFd;

namespace {

long CountDescriptors() {
  const std::filesystem::directory_iterator begin("/proc/self/fd");
  return std::distance(begin, std::filesystem::directory_iterator());
}

std::string TextOf(const std::vector<char>& bytes) {
  return {bytes.begin(), bytes.end()};
}

struct Pair {
  UniqueFd one;
  UniqueFd other;
};

Pair MakePair(int type) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Pair MakePipe(int flags) {
  int ends[2];
  CHECK(pipe2(ends, flags) == 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

void SendRight(int socket, const char* text, int descriptor) {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  iovec part{const_cast<char*>(text), strlen(text)};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  CHECK(sendmsg(socket, &message, 0) == static_cast<ssize_t>(part.iov_len));
}

void TestPipes() {
  const Pair pipe = MakePipe(0);
  restore::PipeContent content;
  CHECK(restore::ReadPipe(pipe.one.get(), content) == 0 && content.bytes.empty());
  CHECK(write(pipe.other.get(), "twice", 5) == 5);
  for (int round = 0; round < 2; ++round) {
    restore::PipeContent again;
    CHECK(restore::ReadPipe(pipe.one.get(), again) == 0 && TextOf(again.bytes) == "twice");
  }
  const Pair packets = MakePipe(O_DIRECT);
  CHECK(write(packets.other.get(), "one", 3) == 3 && write(packets.other.get(), "second", 6) == 6);
  restore::PipeContent two;
  CHECK(restore::ReadPipe(packets.one.get(), two) == 0);
  CHECK((two.packets == std::vector<int>{3, 6}));
  CHECK(restore::ReadPipe(-1, content) == -EBADF);
}

void TestStream() {
  const Pair pair = MakePair(SOCK_STREAM);
  std::vector<QueuedMessage> messages;
  CHECK(restore::ReadSocketQueue(pair.other.get(), SOCK_STREAM, messages) == 0 && messages.empty());
  const UniqueFd event(eventfd(7, EFD_CLOEXEC));
  CHECK(write(pair.one.get(), "plain", 5) == 5);
  SendRight(pair.one.get(), "with", event.get());
  CHECK(write(pair.one.get(), "after", 5) == 5);
  const long before = CountDescriptors();
  CHECK(restore::ReadSocketQueue(pair.other.get(), SOCK_STREAM, messages) == 0);
  CHECK(messages.size() == 2);
  CHECK(TextOf(messages[0].bytes) == "plainwith" && messages[0].rights.size() == 1);
  CHECK((fcntl(messages[0].rights[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(TextOf(messages[1].bytes) == "after" && messages[1].rights.empty());
  messages.clear();
  CHECK(CountDescriptors() == before);
}

void TestMessages() {
  const Pair pair = MakePair(SOCK_SEQPACKET);
  const std::string large(300000, 'l');
  const int room = 1 << 20;
  CHECK(setsockopt(pair.one.get(), SOL_SOCKET, SO_SNDBUF, &room, sizeof room) == 0);
  int offset = 3;
  CHECK(setsockopt(pair.other.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof offset) == 0);
  CHECK(send(pair.one.get(), "", 0, 0) == 0);
  const bool has_room = send(pair.one.get(), large.data(), large.size(), 0) > 0;
  CHECK(send(pair.one.get(), "last", 4, 0) == 4);
  std::vector<QueuedMessage> messages;
  CHECK(restore::ReadSocketQueue(pair.other.get(), SOCK_SEQPACKET, messages) == 0);
  CHECK(messages.size() == (has_room ? 3U : 2U));
  CHECK(messages.front().bytes.empty() && TextOf(messages.back().bytes) == "last");
  if (has_room) CHECK(TextOf(messages[1].bytes) == large);
  socklen_t size = sizeof offset;
  CHECK(getsockopt(pair.other.get(), SOL_SOCKET, SO_PEEK_OFF, &offset, &size) == 0 && offset == 3);
}

// A socket that was shut down answers with the end for ever.
void TestEnd() {
  const Pair pair = MakePair(SOCK_SEQPACKET);
  CHECK(send(pair.one.get(), "only", 4, 0) == 4);
  CHECK(shutdown(pair.one.get(), SHUT_WR) == 0);
  std::vector<QueuedMessage> messages;
  CHECK(restore::ReadSocketQueue(pair.other.get(), SOCK_SEQPACKET, messages) == 0);
  CHECK(messages.size() == 1 && TextOf(messages[0].bytes) == "only");
}

// SO_PASSPIDFD makes a descriptor of every message that is looked at.
void TestSenderIsTold() {
  constexpr int kPassPidfd = 76;
  const Pair pair = MakePair(SOCK_DGRAM);
  const int on = 1;
  if (setsockopt(pair.other.get(), SOL_SOCKET, kPassPidfd, &on, sizeof on) != 0) return;
  CHECK(setsockopt(pair.other.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0);
  CHECK(send(pair.one.get(), "who", 3, 0) == 3);
  const long before = CountDescriptors();
  std::vector<QueuedMessage> messages;
  CHECK(restore::ReadSocketQueue(pair.other.get(), SOCK_DGRAM, messages) == 0 && messages.size() == 1);
  CHECK(CountDescriptors() == before);
}

// The error of a connection that was cut is its owner's to read.
void TestErrorStays() {
  Pair pair = MakePair(SOCK_SEQPACKET);
  CHECK(send(pair.one.get(), "unread", 6, 0) == 6);
  pair.other = UniqueFd();
  std::vector<QueuedMessage> messages;
  CHECK(restore::ReadSocketQueue(pair.one.get(), SOCK_SEQPACKET, messages) == -ECONNRESET);
  int error = 0;
  socklen_t size = sizeof error;
  CHECK(getsockopt(pair.one.get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ECONNRESET);
}

struct UnixRequest {
  uint8_t family = AF_UNIX;
  uint8_t protocol = 0;
  uint16_t pad = 0;
  uint32_t states = ~0U;
  uint32_t inode = 0;
  uint32_t show = 0;
  uint32_t cookie[2] = {~0U, ~0U};
};

void TestDiagnosis() {
  const Pair pair = MakePair(SOCK_STREAM);
  std::vector<char> here;
  std::vector<char> inside;
  const UnixRequest request;
  CHECK(restore::DiagnoseSockets(-1, &request, sizeof request, here) == 0 && !here.empty());
  // Needs rights over the namespace, even when it is this one.
  const int error = restore::DiagnoseSockets(pair.one.get(), &request, sizeof request, inside);
  CHECK(error == -EPERM || (error == 0 && !inside.empty()));
  CHECK(restore::DiagnoseSockets(-1, &request, 4, here) == -EINVAL);
}

void TestTcp() {
  const UniqueFd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  CHECK(setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  CHECK(bind(listener.get(), name, size) == 0 && listen(listener.get(), 1) == 0);
  CHECK(getsockname(listener.get(), name, &size) == 0);
  const UniqueFd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(connect(client.get(), name, size) == 0);
  const UniqueFd server(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  CHECK(send(client.get(), "request", 7, 0) == 7);
  restore::TcpConnection connection{};
  restore::TcpQueues queues;
  const int error = restore::ReadTcpConnection(server.get(), connection, queues);
  if (error == -EPERM) return;
  CHECK(error == 0 && connection.state == 1 && TextOf(queues.receive) == "request" && queues.send.empty());
  int reuse = 0;
  size = sizeof reuse;
  CHECK(getsockopt(server.get(), SOL_SOCKET, SO_REUSEADDR, &reuse, &size) == 0 && reuse == 1);
  char bytes[16];
  CHECK(recv(server.get(), bytes, sizeof bytes, 0) == 7 && send(server.get(), "answer", 6, 0) == 6);
  CHECK(recv(client.get(), bytes, sizeof bytes, 0) == 6);
}

void TestTerminal() {
  int ends[2];
  CHECK(openpty(&ends[0], &ends[1], nullptr, nullptr, nullptr) == 0);
  const UniqueFd master(ends[0]);
  const UniqueFd slave(ends[1]);
  termios before{};
  CHECK(tcgetattr(slave.get(), &before) == 0);
  before.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  CHECK(tcsetattr(slave.get(), TCSANOW, &before) == 0);
  CHECK(write(master.get(), "first\nsecond\nbeg", 16) == 16);
  for (int round = 0; round < 2; ++round) {
    std::vector<char> bytes;
    const int error = restore::ReadTerminalInput(slave.get(), false, bytes);
    if (error == -EPERM) return;
    CHECK(error == 0 && TextOf(bytes) == "first\nsecond\nbeg");
  }
  termios after{};
  CHECK(tcgetattr(slave.get(), &after) == 0 && after.c_lflag == before.c_lflag &&
        after.c_iflag == before.c_iflag);
  CHECK(memcmp(after.c_cc, before.c_cc, sizeof after.c_cc) == 0);
  char line[32];
  CHECK(read(slave.get(), line, sizeof line) == 6 && read(slave.get(), line, sizeof line) == 7);
  CHECK(write(master.get(), "un\n", 3) == 3);
  CHECK(read(slave.get(), line, sizeof line) == 6 && memcmp(line, "begun\n", 6) == 0);
}

void TestFiles() {
  const UniqueFd file(memfd_create("extents", MFD_CLOEXEC));
  CHECK(ftruncate(file.get(), 1 << 20) == 0 && pwrite(file.get(), "x", 1, 1 << 19) == 1);
  std::vector<double> bounds;
  CHECK(restore::ReadExtents(file.get(), bounds) == 0);
  CHECK((bounds == std::vector<double>{1 << 19, (1 << 19) + 4096}));
  restore::DescriptorLook look{};
  CHECK(restore::LookAtDescriptor(getpid(), file.get(), look) == 0);
  CHECK(look.link == "/memfd:extents (deleted)" && look.status.st_size == 1 << 20);
  CHECK(look.info.rfind("pos:\t", 0) == 0);
  CHECK(restore::LookAtDescriptor(getpid(), 4000, look) == -ENOENT);
  std::string text;
  CHECK(restore::TextOfLink(file.get(), text) < 0);
  struct stat status;
  const Pair pair = MakePair(SOCK_STREAM);
  CHECK(restore::NameOfSocketFile(pair.one.get(), text, status) < 0);
  CHECK(restore::NameOfHandle(file.get(), 1, "too short", 2, text) < 0);
}

}  // namespace

int main() {
  TestPipes();
  TestStream();
  TestMessages();
  TestEnd();
  TestSenderIsTold();
  TestErrorStays();
  TestDiagnosis();
  TestTcp();
  TestTerminal();
  TestFiles();
  return 0;
}
