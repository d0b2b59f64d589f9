#include <cerrno>
#include <cstdio>
#include <thread>

#include "fixtures.h"

namespace {

using namespace doors;        // NOLINT: a test
using namespace doors::test;  // NOLINT

struct Client {
  std::vector<char> scratch = std::vector<char>(kScratch);
  std::vector<char> out;
  ClientSession session;
  PollWaiter waiter;
  Response response{scratch.data()};

  explicit Client(Descriptor socket, size_t room = 0, bool asked = true)
      : out(room), session(std::move(socket), asked) {}

  int Call(const Request& request, const Deadline& deadline = Deadline()) {
    response = Response(scratch.data());
    response.out = out.data();
    response.out_size = out.size();
    return session.Call(request, waiter, deadline, response);
  }
  std::string Data() const {
    const char* data = response.place == Place::kOut       ? response.out
                       : response.place == Place::kScratch ? response.scratch
                                                           : response.memory.get();
    return {data, response.length};
  }
};

void CallsAndRepliesMeetInTheArea(uint32_t flags, int count, unsigned seed) {
  std::mt19937 random(seed);
  TestDoor door;
  TestSession session(door.number, flags);
  std::thread server(Echo, session.id, seed + 1);
  const std::string all = RandomData(random, size_t{3} << 20);
  const Descriptor file = NewFile();
  const std::vector<int> files(300, file.get());
  {
    Client client(std::move(session.client), 3000, (flags & kWithArea) != 0);
    for (int i = 1; i <= count; ++i) {
      size_t length = random() % 256;
      if (random() % 64 == 0) length = random() % 5000;
      if (random() % 2000 == 0) length = random() % all.size();
      const size_t descriptors = random() % 500 == 0 ? random() % files.size() : 0;
      const char* from = all.data() + random() % (all.size() - length + 1);
      const auto sequence = static_cast<uint32_t>(i);
      CHECK(client.Call({sequence, from, length, files.data(), descriptors}) == 0);
      const Response& response = client.response;
      CHECK(response.status == 0 && response.sent && response.length == length);
      CHECK(client.Data() == std::string(from, length));
      CHECK((response.place == Place::kOut) == (length <= 3000));
      CHECK(response.descriptors.size() == descriptors);
      if (descriptors > 0) CHECK(InodeOf(response.descriptors.data()[0]) == InodeOf(file.get()));
    }
    CHECK(client.Call({1, nullptr, 0, std::vector<int>{9999}.data(), 1}) == -EINVAL);
    CHECK(client.Call({1, "x", 1, nullptr, 0}) == 0);
  }
  server.join();
  CloseSession(session.id);
  CHECK(door->running() == 0);
}

void RefusalsMeetInTheAreaToo() {
  TestDoor door;
  door.Limits(0, 10, 0);
  TestSession session(door.number, kSequential | kWithArea);
  std::thread server(Echo, session.id, 1);
  {
    Client client(std::move(session.client), 100);
    for (uint32_t i = 0; i < 1000; ++i) {
      CHECK(client.Call({i, "0123456789abc", 8 + i % 5, nullptr, 0}) == 0);
      CHECK(client.response.status == (i % 5 < 3 ? 0 : -ENOBUFS));
    }
  }
  server.join();
  CloseSession(session.id);
}

void AThreadThatWasToLingerIsReplaced() {
  TestDoor door;
  TestSession session(door.number, kSequential | kWithArea);
  Client client(std::move(session.client), 100);
  std::thread caller([&] {
    for (uint32_t i = 1; i <= 3; ++i) CHECK(client.Call({i, "x", 1, nullptr, 0}) == 0);
  });
  Desk desk;
  for (uint32_t i = 1; i <= 3; ++i) {
    while (desk.Next(session.operator->(), 9, 1000) != Taken::kCall) {
    }
    CHECK(Reply(session.id, i, {0, "y", 1, nullptr, 0}, true) == 0);
    // It ends here, and the client may have posted already.
    CHECK(ThreadGone(9) == std::vector<uint32_t>{session.id});
  }
  caller.join();
}

void DeadlinesAndEndsEndACall() {
  TestDoor door;
  for (const uint32_t flags : {kSequential, kSequential | kWithArea}) {
    TestSession session(door.number, flags);
    Client client(std::move(session.client));
    CHECK(client.Call({1, "x", 1, nullptr, 0}, Deadline(1'000'000)) == -ETIMEDOUT);
    CHECK(client.response.sent);
    CHECK(client.Call({2, "x", 1, nullptr, 0}) == -EPIPE && !client.response.sent);
    TestSession other(door.number, flags);
    Client waiting(std::move(other.client));
    std::thread caller([&] { CHECK(waiting.Call({1, "x", 1, nullptr, 0}) == -EPIPE); });
    Desk desk;
    while (desk.Next(other.operator->(), 1, 1000) != Taken::kCall) {
    }
    CloseSession(other.id);
    caller.join();
    CloseSession(session.id);
  }
}

// A client that writes whatever it likes into the area: its session ends, or it is answered.
void AHostileClientHarmsNobodyElse(unsigned seed) {
  std::mt19937 random(seed);
  TestDoor door;
  Desk desk;
  int over = 0;
  for (int round = 0; round < 300; ++round) {
    TestSession session(door.number, kSequential | kWithArea);
    Got hello(session.client.get());
    CHECK(hello.error == 0 && hello.arrival.packet.type == Type::kArea && hello.arrival.count() == 1);
    const auto area = Area::Map(hello.arrival.descriptors()[0]);
    CHECK(area != nullptr);
    const int steps = static_cast<int>(random() % 12);
    for (int step = 0; step < steps; ++step) {
      Post& request = area->request();
      const uint32_t values[] = {0, 1, 2, 3, 4, 0xffffffff, static_cast<uint32_t>(random())};
      const uint64_t lengths[] = {0, 1, kMostPacket + 1, kAreaData, kAreaData + 1, ~uint64_t{0}};
      if (random() % 2 == 0) request.how = values[random() % 3];
      if (random() % 2 == 0) request.length = lengths[random() % 6];
      if (random() % 2 == 0) area->reply().waits = values[random() % 7];
      request.sequence = static_cast<uint32_t>(step);
      request.waits = random() % 2 == 0 ? uint32_t{kPosted} : values[random() % 7];
      if (random() % 2 == 0) {
        SendOne(session.client.get(), {Type::kCall, static_cast<uint32_t>(step), kInArea, 0, 0}, "", {});
      }
      Taken taken = desk.Next(session.operator->(), 1, static_cast<int64_t>(random() % 50));
      if (taken == Taken::kCall) {
        CHECK(desk.take.length <= kAreaData && desk.Data().size() == desk.take.length);
        Reply(session.id, desk.take.sequence, {0, "xyz", 3, nullptr, 0}, random() % 2 == 0);
      }
      if (taken == Taken::kOver) ++over;
    }
    CloseSession(session.id);
  }
  CHECK(over > 0 && door->running() == 0);
}

void SendFile(int socket, int descriptor) {
  CHECK(SendOne(socket, {Type::kArea, 0, 0, kAreaData, 1}, "", {descriptor}));
}

// What the client finds that calls a server which answers with this packet, or with this post.
int ResultOf(const Packet& packet, const std::string& data, std::vector<int> files, const Posted* posted) {
  int ends[2];
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
  Client client{Descriptor(ends[0])};
  const Descriptor server(ends[1]);
  Descriptor file;
  const auto area = Area::Make(file);
  if (posted != nullptr) {
    SendFile(server.get(), file.get());
    PostTo(area->reply(), *posted);
  }
  CHECK(SendOne(server.get(), packet, data, std::move(files)));
  const int result = client.Call({1, "x", 1, nullptr, 0}, Deadline(2'000'000'000));
  if (result != 0) CHECK(client.Call({2, "x", 1, nullptr, 0}) == -EPIPE);
  return result;
}

void AHostileServerIsFoundOut() {
  const size_t before = CountOpen();
  const auto reply = [](int32_t status, uint64_t length, uint32_t descriptors) {
    return Packet{Type::kReply, 1, status, length, descriptors};
  };
  CHECK(ResultOf(reply(0, 3, 0), "abc", {}, nullptr) == 0);
  CHECK(ResultOf(reply(0, 2, 0), "abc", {}, nullptr) == -EPROTO);
  CHECK(ResultOf(reply(7, 0, 0), "", {}, nullptr) == -EPROTO);
  CHECK(ResultOf(reply(kInArea, 0, 0), "", {}, nullptr) == -EPROTO);
  CHECK(ResultOf(reply(0, uint64_t{1} << 50, 0), "abc", {}, nullptr) == -EOVERFLOW);
  CHECK(ResultOf(reply(0, 0, 2000), "", {}, nullptr) == -EOVERFLOW);
  CHECK(ResultOf({Type::kReply, 2, 0, 0, 0}, "", {}, nullptr) == -EPROTO);
  CHECK(ResultOf({Type::kMore, 1, 0, 0, 0}, "", {}, nullptr) == -EPROTO);
  CHECK(ResultOf({Type::kCall, 1, 0, 0, 0}, "", {}, nullptr) == -EPROTO);
  const Descriptor file = NewFile();
  CHECK(ResultOf({Type::kArea, 0, 0, kAreaData, 1}, "", {file.get()}, nullptr) == -EPROTO);
  CHECK(ResultOf(reply(0, 0, 1), "", {file.get(), file.get()}, nullptr) == -EPROTO);
  Posted posted{kHere, 1, 0, 8};
  CHECK(ResultOf(reply(kInArea, 0, 0), "", {}, &posted) == 0);
  posted = {kHere, 1, 0, kAreaData + 1};
  CHECK(ResultOf(reply(kInArea, 0, 0), "", {}, &posted) == -EPROTO);
  posted = {kHere, 2, 0, 8};
  CHECK(ResultOf(reply(kInArea, 0, 0), "", {}, &posted) == -EPROTO);
  posted = {7, 1, 0, 8};
  CHECK(ResultOf(reply(kInArea, 0, 0), "", {}, &posted) == -EPROTO);
  posted = {kHere, 1, 5, 8};
  CHECK(ResultOf(reply(kInArea, 0, 0), "", {}, &posted) == -EPROTO);
  CHECK(CountOpen() == before + 1);
}

void AFileThatIsNoAreaIsNotMapped() {
  Descriptor good;
  CHECK(Area::Make(good) != nullptr);
  CHECK(Area::Map(good.get()) != nullptr);
  CHECK(ftruncate(good.get(), 0) == -1 && fcntl(good.get(), F_ADD_SEALS, F_SEAL_WRITE) == -1);
  const Descriptor open_to_shrink(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK(ftruncate(open_to_shrink.get(), kAreaHeader + kAreaData) == 0);
  CHECK(Area::Map(open_to_shrink.get()) == nullptr);
  // Sealed by now, and still without the words of an area.
  CHECK(fcntl(open_to_shrink.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  CHECK(Area::Map(open_to_shrink.get()) == nullptr);
  const Descriptor small(memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK(fcntl(small.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  CHECK(Area::Map(small.get()) == nullptr && Area::Map(-1) == nullptr);
}

}  // namespace

int main() {
  AFileThatIsNoAreaIsNotMapped();
  CallsAndRepliesMeetInTheArea(kSequential | kWithArea, 100'000, 1);
  CallsAndRepliesMeetInTheArea(kSequential, 5'000, 2);
  RefusalsMeetInTheAreaToo();
  AThreadThatWasToLingerIsReplaced();
  DeadlinesAndEndsEndACall();
  AHostileClientHarmsNobodyElse(5);
  AHostileServerIsFoundOut();
  puts("area_test: ok");
  return 0;
}
