#include "loop_session.h"

#include <cerrno>
#include <cstdio>
#include <map>
#include <thread>

#include "fixtures.h"

namespace {

using namespace doors;        // NOLINT: a test
using namespace doors::test;  // NOLINT

constexpr uint32_t kBoth = kSequential | kWithArea;

struct Pair {
  Descriptor here;
  Descriptor there;

  Pair() {
    int ends[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0);
    here = Descriptor(ends[0]);
    there = Descriptor(ends[1]);
  }
};

// The thread whose event loop it is.
struct Client {
  std::vector<char> scratch = std::vector<char>(kScratch);
  LoopSession session;
  LoopReply reply;

  explicit Client(Descriptor socket, bool area = false) : session(std::move(socket), area) {}

  int Call(uint32_t sequence, const std::string& data = "", const std::vector<int>& descriptors = {}) {
    return session.Call({sequence, data.data(), data.size(), descriptors.data(), descriptors.size()});
  }
  int Take() {
    reply = LoopReply();
    return session.Take(scratch.data(), reply);
  }
  int Look() {
    reply = LoopReply();
    return session.Look(scratch.data(), reply);
  }
  // What an event loop does: it looks, and then it waits for the socket.
  int Next() {
    int result = 0;
    while (result == 0) {
      if (session.looks()) result = Look();
      if (result != 0) break;
      const auto events = static_cast<short>(session.queued() ? POLLIN | POLLOUT : POLLIN);
      pollfd polled{session.socket(), events, 0};
      CHECK(poll(&polled, 1, 10'000) > 0);
      if ((polled.revents & POLLOUT) != 0 && session.Flush() != 0) return -EPIPE;
      result = Take();
    }
    return result;
  }
  std::string Data() const {
    return {reply.memory.valid() ? reply.memory.get() : scratch.data(), reply.length};
  }
};

void RepliesAreWholeHoweverTheyAreCut(unsigned seed) {
  std::mt19937 random(seed);
  const size_t before = CountOpen();
  {
    Pair pair;
    Client client(std::move(pair.here));
    std::vector<Descriptor> files;
    for (int i = 0; i < 5; ++i) files.push_back(NewFile());
    uint32_t sequence = random();
    for (int round = 0; round < 25; ++round) {
      std::vector<Sender> senders(1 + random() % 6);
      std::map<uint32_t, const Sender*> expected;
      std::map<uint32_t, bool> cancelled;
      for (Sender& sender : senders) {
        CHECK(client.Call(++sequence, "x") == 0);
        CHECK(Got(pair.there.get()).arrival.packet.sequence == sequence);
        cancelled[sequence] = random() % 8 == 0;
        if (cancelled[sequence]) {
          client.session.Cancel(sequence);
          CHECK(Got(pair.there.get()).arrival.packet.type == Type::kCancel);
        }
        sender.data = RandomData(random, random() % 4 == 0 ? random() % 400'000 : random() % 300);
        for (size_t n = random() % 3 == 0 ? random() % 600 : random() % 2; n > 0; --n) {
          sender.descriptors.push_back(files[random() % files.size()].get());
        }
        const auto count = static_cast<uint32_t>(sender.descriptors.size());
        sender.packet = {Type::kReply, sequence, 0, sender.data.size(), count};
        expected[sequence] = &sender;
      }
      while (!expected.empty()) {
        Sender& sender = senders[random() % senders.size()];
        if (!sender.done()) sender.SendSome(pair.there.get(), random);
        const int taken = client.Take();
        CHECK(taken == 0 || taken == 1);
        if (taken == 0) continue;
        const LoopReply& reply = client.reply;
        CHECK(expected.count(reply.sequence) == 1);
        const Sender& sent = *expected[reply.sequence];
        CHECK(sent.done());
        if (cancelled[reply.sequence]) {
          CHECK(reply.status == -ECANCELED && reply.length == 0 && reply.descriptors.size() == 0);
        } else {
          CHECK(reply.status == 0 && client.Data() == sent.data);
          CHECK(reply.descriptors.size() == sent.descriptors.size());
          for (size_t i = 0; i < sent.descriptors.size(); ++i) {
            CHECK(InodeOf(reply.descriptors.data()[i]) == InodeOf(sent.descriptors[i]));
            CHECK(fcntl(reply.descriptors.data()[i], F_GETFD) == FD_CLOEXEC);
          }
        }
        expected.erase(reply.sequence);
      }
      CHECK(!client.session.awaits());
    }
  }
  CHECK(CountOpen() == before);
}

void CallsAndRepliesMeet(uint32_t flags, int count, unsigned seed) {
  std::mt19937 random(seed);
  const size_t before = CountOpen();
  {
    TestDoor door;
    TestSession session(door.number, flags);
    std::thread server(Echo, session.id, seed + 1);
    const std::string all = RandomData(random, size_t{3} << 20);
    const Descriptor file = NewFile();
    {
      Client client(std::move(session.client), flags != 0);
      for (int i = 1; i <= count; ++i) {
        size_t length = random() % 256;
        if (random() % 64 == 0) length = random() % 5000;
        if (random() % 500 == 0) length = random() % all.size();
        const size_t descriptors = random() % 100 == 0 ? random() % 300 : 0;
        const std::string data = all.substr(random() % (all.size() - length + 1), length);
        CHECK(client.Call(static_cast<uint32_t>(i), data, std::vector<int>(descriptors, file.get())) == 0);
        CHECK(client.session.awaits());
        CHECK(client.Next() == 1);
        CHECK(client.reply.sequence == static_cast<uint32_t>(i) && client.reply.status == 0);
        CHECK(client.Data() == data && client.reply.descriptors.size() == descriptors);
      }
    }
    server.join();
  }
  CHECK(CountOpen() == before);
}

void AFullSocketKeepsCallsUntilThereIsRoom() {
  Pair pair;
  Client client(std::move(pair.here));
  const std::string data(200'000, 'x');
  uint32_t sequence = 0;
  while (!client.session.queued()) CHECK(client.Call(++sequence, data) == 0);
  size_t bytes = 0;
  while (bytes < sequence * data.size()) {
    Got got(pair.there.get());
    CHECK(got.error == 0);
    bytes += got.arrival.size;
    CHECK(client.session.Flush() == 0);
  }
  CHECK(!client.session.queued() && bytes == sequence * data.size());
}

// A server that has answered some calls goes: with some unread, which is told before the replies, while
// another call is made, or while one waits for room.
void RepliesThatAreHereAreNotLost() {
  for (const int how : {0, 1, 2}) {
    Pair pair;
    Client client(std::move(pair.here));
    CHECK(client.Call(1) == 0 && client.Call(2) == 0);
    SendOne(pair.there.get(), {Type::kReply, 1, 0, 0, 0}, "", {});
    SendOne(pair.there.get(), {Type::kReply, 2, 0, 1, 0}, "x", {});
    uint32_t last = 2;
    while (how == 2 && !client.session.queued()) CHECK(client.Call(++last, std::string(200'000, 'x')) == 0);
    pair.there = Descriptor();
    if (how == 1) CHECK(client.Call(3) == -EPIPE && !client.session.over());
    if (how == 2) CHECK(client.session.Flush() < 0 && !client.session.over());
    CHECK(client.Take() == 1 && client.reply.sequence == 1);
    CHECK(client.Take() == 1 && client.reply.sequence == 2 && client.Data() == "x");
    CHECK(client.Take() == -EPIPE && client.session.over() && client.Call(4) == -EPIPE);
    CHECK(client.session.IsQueued(last) == (how == 2) && !client.session.queued());
  }
}

// What a client says to a packet that it must not get.
int After(const Packet& packet, const std::string& data = "", size_t descriptors = 0, bool area = false) {
  Pair pair;
  Client client(std::move(pair.here), area);
  const Descriptor file = NewFile();
  CHECK(client.Call(1) == 0);
  SendOne(pair.there.get(), packet, data, std::vector<int>(descriptors, file.get()));
  const int result = client.Take();
  if (result < 0) CHECK(client.session.over() && client.Call(2) == -EPIPE && client.Take() == -EPIPE);
  return result;
}

void AServerThatBreaksTheRulesIsLeft() {
  const size_t before = CountOpen();
  CHECK(After({Type::kReply, 1, 0, 0, 0}) == 1);
  CHECK(After({Type::kReply, 2, 0, 0, 0}) == -EPROTO);
  CHECK(After({Type::kReply, 1, 2, 0, 0}) == -EPROTO);
  CHECK(After({Type::kReply, 1, kInArea, 0, 0}) == -EPROTO);
  CHECK(After({Type::kReply, 1, 0, 1, 0}, "xx") == -EPROTO);
  CHECK(After({Type::kReply, 1, 0, 0, 1}, "", 2) == -EPROTO);
  CHECK(After({Type::kMore, 1, 0, 1, 0}, "x") == -EPROTO);
  CHECK(After({Type::kCall, 1, 0, 0, 0}) == -EPROTO);
  CHECK(After({Type::kHello, 1, 0, 0, 0}) == -EPROTO);
  CHECK(After({Type::kArea, 0, 0, kAreaData, 1}, "", 1) == -EPROTO);
  CHECK(After({Type::kArea, 0, 0, kAreaData, 1}, "", 1, true) == -EPROTO);
  CHECK(After({Type::kReply, 1, 0, kMostBytes + 1, 0}, "x") == 0);
  CHECK(CountOpen() == before);
}

void ATooLongReplyIsCountedAndNotKept() {
  Pair pair;
  Client client(std::move(pair.here));
  CHECK(client.Call(1) == 0 && client.Call(2) == 0);
  const Descriptor file = NewFile();
  SendOne(pair.there.get(), {Type::kReply, 1, 0, 3, 1025}, "abc", std::vector<int>(253, file.get()));
  for (int sent = 253; sent < 1025; sent += 193) {
    CHECK(client.Take() == 0);
    SendOne(pair.there.get(), {Type::kMore, 1, 0, 0, 0}, "", std::vector<int>(193, file.get()));
  }
  CHECK(client.Take() == 1 && client.reply.status == -EOVERFLOW && client.reply.length == 0);
  SendOne(pair.there.get(), {Type::kReply, 2, 0, 0, 0}, "", {});
  CHECK(client.Take() == 1 && client.reply.sequence == 2 && client.reply.status == 0);
}

// A page that a hostile server writes to as it likes, while a call is looked for.
void AScribbledAreaIsTheEnd() {
  for (const uint32_t waits : {uint32_t{kSleeps}, 7U, 0xffffffffU, uint32_t{kSocket}}) {
    Pair pair;
    Client client(std::move(pair.here), true);
    Descriptor file;
    const auto area = Area::Make(file);
    CHECK(area != nullptr);
    SendOne(pair.there.get(), {Type::kArea, 0, 0, kAreaData, 1}, "", {file.get()});
    CHECK(client.Take() == 0);
    CHECK(client.Call(1) == 0 && client.session.looks());
    area->reply().waits.store(waits, std::memory_order_seq_cst);
    CHECK(client.Look() == -EPROTO && client.session.over());
  }
  for (const Posted& posted : {Posted{kHere, 2, 0, 0}, Posted{7, 1, 0, 0}, Posted{kHere, 1, 1, 0},
                               Posted{kHere, 1, 0, kAreaData + 1}}) {
    Pair pair;
    Client client(std::move(pair.here), true);
    Descriptor file;
    const auto area = Area::Make(file);
    SendOne(pair.there.get(), {Type::kArea, 0, 0, kAreaData, 1}, "", {file.get()});
    CHECK(client.Take() == 0 && client.Call(1) == 0);
    CHECK(PostTo(area->reply(), posted) == 0);
    CHECK(client.Look() == -EPROTO && client.session.over());
  }
}

void AnEndIsTold() {
  Pair pair;
  Client client(std::move(pair.here));
  CHECK(client.Call(1) == 0 && client.session.awaits());
  CHECK(client.Call(2, "", {-1}) == -EINVAL && !client.session.over());
  pair.there = Descriptor();
  CHECK(client.Take() == -EPIPE && client.session.over() && !client.session.awaits());
  client.session.Close();
  CHECK(client.session.socket() < 0);
}

}  // namespace

int main() {
  RepliesAreWholeHoweverTheyAreCut(1);
  CallsAndRepliesMeet(0, 3000, 2);
  CallsAndRepliesMeet(kSequential, 1000, 3);
  CallsAndRepliesMeet(kBoth, 20'000, 4);
  AFullSocketKeepsCallsUntilThereIsRoom();
  RepliesThatAreHereAreNotLost();
  AServerThatBreaksTheRulesIsLeft();
  ATooLongReplyIsCountedAndNotKept();
  AScribbledAreaIsTheEnd();
  AnEndIsTold();
  puts("loop_session_test: ok");
  return 0;
}
