// What the tests of sessions are made of: a door, a client without the core, and a wait.
#ifndef X_DOORS_TEST_FIXTURES_H_
#define X_DOORS_TEST_FIXTURES_H_

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "client_session.h"
#include "info_page.h"
#include "service.h"

namespace doors::test {

inline size_t CountOpen() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<size_t>(std::distance(begin(all), end(all)));
}

// A file that is told from others by its inode.
inline Descriptor NewFile() {
  Descriptor file(memfd_create("file", MFD_CLOEXEC));
  CHECK(file.valid());
  return file;
}

inline ino_t InodeOf(int descriptor) {
  struct stat status {};
  CHECK(fstat(descriptor, &status) == 0);
  return status.st_ino;
}

// A door, with a page that can be written.
class TestDoor {
 public:
  TestDoor() : file_(memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING)) {
    int error = 0;
    page_ = static_cast<char*>(MakeInfoPage(file_.get(), error));
    CHECK(page_ != nullptr);
    Limits(0, uint64_t{1} << 40, 0x7fffffff);
    const int opened = OpenDoor(file_.get(), "source", this);
    CHECK(opened > 0);
    number = static_cast<uint32_t>(opened);
  }
  TestDoor(const TestDoor&) = delete;
  TestDoor& operator=(const TestDoor&) = delete;
  ~TestDoor() {
    CloseDoorsOf(this);
    UnmapInfoPage(page_);
  }

  void Limits(uint64_t least, uint64_t most, uint32_t descriptors) {
    Store(24, least);
    Store(32, most);
    Store(12, descriptors);
  }
  void Attributes(uint32_t attributes) { Store(4, attributes); }

  Shared<Door> operator->() const { return Doors().Find(number); }

  uint32_t number = 0;

 private:
  template <typename T>
  void Store(size_t place, T value) {
    __atomic_store_n(reinterpret_cast<T*>(page_ + place), value, __ATOMIC_SEQ_CST);
  }

  Descriptor file_;
  char* page_;
};

// The client's end of a session, and the session.
struct TestSession {
  Descriptor client;
  uint32_t id = 0;

  TestSession(uint32_t door, uint32_t flags) {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    client = Descriptor(ends[0]);
    const int opened = OpenSession(Descriptor(ends[1]), door, flags);
    CHECK(opened > 0);
    id = static_cast<uint32_t>(opened);
  }
  Shared<ServerSession> operator->() const { return Sessions().Find(id); }
};

// One packet, whatever it says.
inline bool SendOne(int socket, const Packet& packet, const std::string& data, std::vector<int> descriptors) {
  Message message{packet, data.data(), data.size(), descriptors.data(), descriptors.size(), false};
  CHECK(data.size() <= kPiece && descriptors.size() <= kMostRights);
  const int error = Send(socket, message);
  return error == 0;
}

inline Packet CallPacket(uint32_t sequence, uint64_t length = 0, uint32_t descriptors = 0) {
  return {Type::kCall, sequence, 0, length, descriptors};
}

// What a thread has taken.
struct Desk {
  std::vector<char> scratch = std::vector<char>(kScratch);
  Take take{scratch.data()};

  Taken Next(const Shared<ServerSession>& session, int thread = 1, int64_t linger = 0) {
    take = Take(scratch.data());
    return session->TakeNext(thread, linger, take);
  }
  std::string Data() const { return {take.memory.valid() ? take.memory.get() : take.scratch, take.length}; }
};

// The next packet at a client, with its data; blocks.
struct Got {
  std::vector<char> scratch = std::vector<char>(kScratch);
  Arrival arrival;
  int error = 0;

  explicit Got(int socket) {
    pollfd polled{socket, POLLIN, 0};
    CHECK(poll(&polled, 1, 10'000) > 0);
    error = Receive(socket, {{}, scratch.data()}, arrival);
  }
  int32_t status() const {
    CHECK(error == 0);
    return arrival.packet.status;
  }
};

class PollWaiter : public Waiter {
 public:
  int Wait(int socket, short events, const Deadline& deadline) override {
    pollfd polled{socket, events, 0};
    const int time = deadline.endless() ? -1 : static_cast<int>((deadline.Left() + 999'999) / 1'000'000);
    const int ready = poll(&polled, 1, time);
    return ready > 0 ? polled.revents : ready == 0 ? -ETIMEDOUT : -errno;
  }
};

inline std::string RandomData(std::mt19937& random, size_t length) {
  std::string data(length, '\0');
  uint32_t state = random() | 1U;
  for (char& byte : data) {
    state = state * 1664525U + 1013904223U;
    byte = static_cast<char>(state >> 24);
  }
  return data;
}

// A call or a reply on its way, in pieces that are cut anywhere.
struct Sender {
  Packet packet;
  std::string data;
  std::vector<int> descriptors;
  size_t sent = 0;
  size_t passed = 0;
  bool begun = false;

  bool done() const { return begun && sent == data.size() && passed == descriptors.size(); }

  // False when there is no room.
  bool SendSome(int socket, std::mt19937& random) {
    const size_t bytes = std::min<size_t>(random() % 3 == 0 ? kPiece : random() % 5000, data.size() - sent);
    const size_t count = std::min<size_t>(random() % (kMostRights + 1), descriptors.size() - passed);
    if (begun && bytes + count == 0) return true;
    Packet piece = packet;
    if (begun) piece.type = Type::kMore;
    const auto from = descriptors.begin() + static_cast<std::ptrdiff_t>(passed);
    if (!SendOne(socket, piece, data.substr(sent, bytes),
                 {from, from + static_cast<std::ptrdiff_t>(count)})) {
      return false;
    }
    begun = true;
    sent += bytes;
    passed += count;
    return true;
  }
};

// Answers with what comes, and waits for the next in all ways that there are, until the session ends.
inline void Echo(uint32_t id, unsigned seed) {
  std::mt19937 random(seed);
  Desk desk;
  const auto session = Sessions().Find(id);
  int64_t linger = 0;
  for (;;) {
    const Taken taken = desk.Next(session, 1, linger);
    if (taken == Taken::kOver) return;
    if (taken == Taken::kNothing) {
      pollfd polled{session->Descriptor(), POLLIN, 0};
      CHECK(poll(&polled, 1, -1) == 1);
      continue;
    }
    if (taken != Taken::kCall) continue;
    const std::string data = desk.Data();
    linger = random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 300);
    const bool lingers = linger > 0 || random() % 2 == 0;
    const DescriptorList& came = desk.take.descriptors;
    const Answer answer{0, data.data(), data.size(), came.data(), came.size()};
    int fate = Reply(id, desk.take.sequence, answer, lingers);
    while ((fate & kQueued) != 0) {
      pollfd polled{session->Descriptor(), POLLOUT, 0};
      CHECK(poll(&polled, 1, -1) == 1);
      fate = session->Flush();
    }
  }
}

}  // namespace doors::test

#endif  // X_DOORS_TEST_FIXTURES_H_
