// Control messages that had not enough room: the core reads what is there and trusts no length. Every message
// has real descriptors, and each of them is closed afterwards.
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>
#include <vector>

#include "../ancillary.h"
#include "../message.h"
#include "../owned_descriptors.h"
#include "check.h"

namespace {

using fdpass::Ancillary;
using fdpass::ParseAncillary;

int OpenCount() {
  int count = 0;
  for (int number = 0; number < 4096; ++number) count += fcntl(number, F_GETFD) >= 0 ? 1 : 0;
  return count;
}

class Pair {
 public:
  explicit Pair(int type) { CHECK(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0); }
  ~Pair() {
    close(ends[0]);
    close(ends[1]);
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;

  int ends[2] = {-1, -1};
};

void Send(int socket, int count) {
  const std::vector<int> descriptors(static_cast<size_t>(count), STDERR_FILENO);
  char byte = 'x';
  fdpass::Outgoing message;
  message.parts[message.part_count++] = {&byte, 1};
  message.descriptors = descriptors.data();
  message.descriptor_count = count;
  CHECK(fdpass::Send(socket, message) == 1);
}

struct Outcome {
  int count;
  bool truncated;
};

// What is parsed of a message that was received into a control buffer of `room` bytes; nothing is left open.
Outcome ReceiveInto(int socket, size_t room) {
  alignas(cmsghdr) char control[fdpass::kControlRoom + 64];
  memset(control, 0xff, sizeof control);
  char byte = 0;
  iovec part{&byte, 1};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = room == 0 ? nullptr : control;
  header.msg_controllen = room;
  CHECK(recvmsg(socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT) == 1);
  CHECK(byte == 'x');
  Ancillary came;
  ParseAncillary(header, came);
  for (int i = 0; i < came.count; ++i) CHECK(fcntl(came.descriptors[i], F_GETFD) == FD_CLOEXEC);
  fdpass::CloseAll(came.descriptors, came.count);
  return {came.count, (header.msg_flags & MSG_CTRUNC) != 0};
}

struct Row {
  int sent;
  size_t room;
  int count;
  bool truncated;
};

constexpr size_t kNumber = sizeof(int);

// B1.8, B1.21, 10, 11, 12, 13, 14, 15, 16, 17, 18, 35: those that fit are parsed, and the others are the
// kernel's
void TestTooLittleRoom(int type) {
  const Row rows[] = {
      {1, 0, 0, true},
      {1, 1, 0, true},
      {1, kNumber * 2 + 1, 0, true},
      {1, sizeof(cmsghdr) - 5, 0, true},
      {1, CMSG_LEN(0) - 1, 0, true},
      {1, CMSG_LEN(0), 0, true},
      {1, CMSG_LEN(0) + 1, 0, true},
      {2, CMSG_LEN(kNumber) - 1, 0, true},
      {2, CMSG_LEN(kNumber), 1, true},
      {2, CMSG_LEN(kNumber) + 3, 1, true},
      {2, CMSG_LEN(2 * kNumber) - 1, 1, true},
      {3, CMSG_SPACE(kNumber), 2, true},
      {5, CMSG_LEN(4 * kNumber), 4, true},
      {253, CMSG_LEN(252 * kNumber), 252, true},
  };
  for (const Row& row : rows) {
    const Pair pair(type);
    const int before = OpenCount();
    Send(pair.ends[0], row.sent);
    Send(pair.ends[0], 1);
    const Outcome outcome = ReceiveInto(pair.ends[1], row.room);
    CHECK(outcome.count == row.count);
    CHECK(outcome.truncated == row.truncated);
    CHECK(OpenCount() == before);
    // The next message has its own descriptor, and no more.
    const Outcome next = ReceiveInto(pair.ends[1], fdpass::kControlRoom);
    CHECK(next.count == 1 && !next.truncated);
    CHECK(OpenCount() == before);
  }
}

// 3, 4, 36, 93, B1.21: just enough room, and more than that, brings all of them
void TestEnoughRoom(int type) {
  const Row rows[] = {
      {1, CMSG_LEN(kNumber), 1, false},         {1, CMSG_SPACE(kNumber), 1, false},
      {2, CMSG_SPACE(kNumber), 2, false},       {2, CMSG_LEN(2 * kNumber), 2, false},
      {4, CMSG_LEN(4 * kNumber), 4, false},     {4, CMSG_SPACE(4 * kNumber), 4, false},
      {4, fdpass::kControlRoom + 64, 4, false}, {253, CMSG_LEN(253 * kNumber), 253, false},
      {253, fdpass::kControlRoom, 253, false},
  };
  for (const Row& row : rows) {
    const Pair pair(type);
    const int before = OpenCount();
    Send(pair.ends[0], row.sent);
    const Outcome outcome = ReceiveInto(pair.ends[1], row.room);
    CHECK(outcome.count == row.count);
    CHECK(outcome.truncated == row.truncated);
    CHECK(OpenCount() == before);
  }
}

// 6: two arrays, received into the least room for them, are one or are cut
void TestSeparateArrays(int type) {
  alignas(cmsghdr) char control[2 * CMSG_SPACE(sizeof(int))] = {};
  for (int i = 0; i < 2; ++i) {
    const cmsghdr message{CMSG_LEN(kNumber), SOL_SOCKET, SCM_RIGHTS};
    const int descriptor = STDERR_FILENO;
    char* at = control + static_cast<size_t>(i) * CMSG_SPACE(kNumber);
    memcpy(at, &message, sizeof message);
    memcpy(at + CMSG_LEN(0), &descriptor, sizeof descriptor);
  }
  char byte = 'x';
  iovec part{&byte, 1};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  const Pair pair(type);
  const int before = OpenCount();
  CHECK(sendmsg(pair.ends[0], &header, 0) == 1);
  const Outcome outcome = ReceiveInto(pair.ends[1], CMSG_SPACE(kNumber) + CMSG_LEN(2 * kNumber));
  CHECK(outcome.count == 2 && !outcome.truncated);
  CHECK(OpenCount() == before);
}

// A header that says more than there is, or less than itself, is where parsing ends.
void TestWrongLengths() {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  for (const size_t length :
       std::initializer_list<size_t>{0, 1, CMSG_LEN(0) - 1, sizeof control + 1, SIZE_MAX}) {
    const cmsghdr message{length, SOL_SOCKET, SCM_RIGHTS};
    memcpy(control, &message, sizeof message);
    msghdr header{};
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    Ancillary came;
    ParseAncillary(header, came);
    CHECK(came.count == 0 && !came.has_credentials && came.pidfd == -1);
  }
}

}  // namespace

int main() {
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) {
    TestTooLittleRoom(type);
    TestEnoughRoom(type);
    TestSeparateArrays(type);
  }
  TestWrongLengths();
  return 0;
}
