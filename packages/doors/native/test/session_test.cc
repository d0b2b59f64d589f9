#include <sys/resource.h>

#include <cerrno>
#include <cstdio>
#include <map>
#include <thread>

#include "fixtures.h"

namespace {

using namespace doors;        // NOLINT: a test
using namespace doors::test;  // NOLINT

void CallsAreWholeHoweverTheyAreCut(unsigned seed) {
  std::mt19937 random(seed);
  const size_t before = CountOpen();
  {
    TestDoor door;
    TestSession session(door.number, 0);
    std::vector<Descriptor> files;
    for (int i = 0; i < 5; ++i) files.push_back(NewFile());
    Desk desk;
    for (int round = 0; round < 25; ++round) {
      std::vector<Sender> senders(1 + random() % 6);
      std::map<uint32_t, const Sender*> expected;
      for (Sender& sender : senders) {
        const auto sequence = static_cast<uint32_t>(random());
        sender.data = RandomData(random, random() % 4 == 0 ? random() % 400'000 : random() % 300);
        for (size_t n = random() % 3 == 0 ? random() % 600 : random() % 2; n > 0; --n) {
          sender.descriptors.push_back(files[random() % files.size()].get());
        }
        sender.packet =
            CallPacket(sequence, sender.data.size(), static_cast<uint32_t>(sender.descriptors.size()));
        expected[sequence] = &sender;
      }
      while (!expected.empty()) {
        Sender& sender = senders[random() % senders.size()];
        if (!sender.done()) sender.SendSome(session.client.get(), random);
        const Taken taken = desk.Next(session.operator->(), 1, 0);
        CHECK(taken == Taken::kNothing || taken == Taken::kCall || taken == Taken::kAgain);
        if (taken != Taken::kCall) continue;
        CHECK(expected.count(desk.take.sequence) == 1);
        const Sender& sent = *expected[desk.take.sequence];
        CHECK(sent.done() && desk.Data() == sent.data);
        CHECK(desk.take.descriptors.size() == sent.descriptors.size());
        for (size_t i = 0; i < sent.descriptors.size(); ++i) {
          CHECK(InodeOf(desk.take.descriptors.data()[i]) == InodeOf(sent.descriptors[i]));
          CHECK(fcntl(desk.take.descriptors.data()[i], F_GETFD) == FD_CLOEXEC);
        }
        expected.erase(desk.take.sequence);
        CHECK(Reply(session.id, desk.take.sequence, {}, false) == 0);
        CHECK(Got(session.client.get()).status() == 0);
      }
    }
    CHECK(door->running() == 0);
  }
  CHECK(CountOpen() == before);
}

// What a client is told of a call.
int32_t StatusOf(const TestSession& session, uint64_t length, uint32_t count) {
  static uint32_t sequence = 1000;
  const Descriptor file = NewFile();
  Packet packet = CallPacket(++sequence, length, count);
  do {
    const auto bytes = std::min<uint64_t>(length, kPiece);
    const uint32_t some = std::min(count, kMostRights);
    CHECK(SendOne(session.client.get(), packet, std::string(bytes, 'x'), std::vector<int>(some, file.get())));
    packet.type = Type::kMore;
    length -= bytes;
    count -= some;
  } while (length > 0 || count > 0);
  Desk desk;
  const Taken taken = desk.Next(session.operator->());
  CHECK(taken == Taken::kCall || taken == Taken::kAgain);
  CHECK(desk.take.sequence == sequence);
  if (taken == Taken::kCall) CHECK(Reply(session.id, sequence, {}, false) == 0);
  Got got(session.client.get());
  CHECK(got.arrival.packet.type == Type::kReply && got.arrival.packet.sequence == sequence);
  return got.status();
}

void LimitsAreLookedAtInTheOrderOfDoorCall() {
  TestDoor door;
  TestSession session(door.number, 0);
  door.Limits(10, 100'000, 2);
  CHECK(StatusOf(session, 10, 2) == 0);
  CHECK(StatusOf(session, 9, 0) == -ENOBUFS);
  CHECK(StatusOf(session, 100'001, 0) == -ENOBUFS);
  CHECK(StatusOf(session, 9, 3) == -ENOBUFS);
  CHECK(StatusOf(session, 10, 3) == -ENFILE);
  CHECK(StatusOf(session, 10, 300) == -ENFILE);
  door.Attributes(0x40);
  CHECK(StatusOf(session, 9, 3) == -ENOBUFS);
  CHECK(StatusOf(session, 10, 1) == -ENOTSUP);
  CHECK(StatusOf(session, 10, 3) == -ENOTSUP);
  CHECK(StatusOf(session, 10, 0) == 0);
  door.Attributes(0);
  door.Limits(0, 100'000, 2000);
  CHECK(StatusOf(session, 0, 1024) == 0);
  CHECK(StatusOf(session, 0, 1025) == -E2BIG);
  door.Attributes(0x08);
  CHECK(StatusOf(session, 100'001, 1025) == -EBADF);
  CHECK(door->running() == 0);
}

void GarbageEndsASession() {
  const size_t before = CountOpen();
  {
    TestDoor door;
    const Descriptor file = NewFile();
    const auto ends = [&](uint32_t flags, const std::vector<Packet>& packets, size_t bytes, size_t count) {
      TestSession session(door.number, flags);
      for (const Packet& packet : packets) {
        CHECK(SendOne(session.client.get(), packet, std::string(bytes, 'x'),
                      std::vector<int>(count, file.get())));
      }
      Desk desk;
      Taken taken = Taken::kCall;
      while (taken == Taken::kCall) taken = desk.Next(session.operator->());
      CHECK(taken == Taken::kOver);
      CHECK(desk.Next(session.operator->()) == Taken::kOver);
      CloseSession(session.id);
    };
    ends(0, {{Type::kReply, 1, 0, 0, 0}}, 0, 0);
    ends(0, {{Type::kHello, 1, 0, 0, 0}}, 0, 0);
    ends(0, {{Type::kMore, 1, 0, 0, 0}}, 0, 0);
    ends(0, {{static_cast<Type>(99), 1, 0, 0, 0}}, 0, 0);
    ends(0, {{Type::kCall, 1, 0, uint64_t{1} << 53, 0}}, 0, 0);
    ends(0, {{Type::kCall, 1, -5, 0, 0}}, 0, 0);
    ends(0, {{Type::kCall, 1, kInArea, 0, 0}}, 0, 0);
    ends(0, {{Type::kCall, 1, 0, 1, 0}}, 9, 0);
    ends(0, {{Type::kCall, 1, 0, 0, 1}}, 0, 3);
    ends(0, {{Type::kCall, 1, 0, 20, 0}, {Type::kMore, 1, 0, 0, 0}, {Type::kMore, 1, 0, 0, 0}}, 9, 0);
    ends(0, {CallPacket(1), CallPacket(1)}, 0, 0);
    ends(0, {CallPacket(1, 9), CallPacket(1, 9)}, 1, 0);
    ends(kSequential, {CallPacket(1), CallPacket(2)}, 0, 0);
    ends(kSequential, {CallPacket(1, 9), CallPacket(2, 9)}, 1, 0);
    ends(kSequential, {CallPacket(1), {Type::kCancel, 1, 0, 0, 0}}, 0, 0);
    ends(kSequential | kWithArea, {{Type::kCall, 1, kInArea, 0, 0}}, 0, 0);
    std::vector<Packet> many;
    for (uint32_t i = 0; i <= kMostCalls; ++i) many.push_back(CallPacket(i));
    ends(0, many, 0, 0);
  }
  CHECK(CountOpen() == before);
}

void ShortAndLongPacketsAndAnEndAreTheEnd() {
  TestDoor door;
  const std::string texts[] = {"GET / HTTP/1.1", std::string(kMostPacket + kHeaderSize + 1, 'x')};
  for (const std::string& text : texts) {
    TestSession session(door.number, 0);
    CHECK(send(session.client.get(), text.data(), text.size(), MSG_NOSIGNAL) > 0);
    CHECK(Desk().Next(session.operator->()) == Taken::kOver);
  }
  TestSession session(door.number, 0);
  CHECK(Desk().Next(session.operator->()) == Taken::kNothing);
  session.client = {};
  CHECK(Desk().Next(session.operator->()) == Taken::kOver);
}

void LostDescriptorsAreToldToTheClient() {
  TestDoor door;
  TestSession session(door.number, 0);
  const Descriptor file = NewFile();
  const Descriptor last(dup(file.get()));
  rlimit limit{};
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit none{static_cast<rlim_t>(last.get()) + 2, limit.rlim_max};
  const size_t before = CountOpen();
  CHECK(SendOne(session.client.get(), CallPacket(1, 3, 5), "abc", std::vector<int>(5, file.get())));
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  Desk desk;
  const Taken taken = desk.Next(session.operator->());
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(taken == Taken::kAgain && desk.take.fate == 0);
  CHECK(Got(session.client.get()).status() == -EMFILE);
  CHECK(CountOpen() == before);
  CHECK(StatusOf(session, 3, 5) == 0);
}

void RepliesThatWaitGoOutInOrder() {
  const size_t before = CountOpen();
  {
    TestDoor door;
    TestSession session(door.number, 0);
    const uint32_t kCalls = 40;
    Desk desk;
    int fate = 0;
    for (uint32_t i = 0; i < kCalls; ++i) {
      CHECK(SendOne(session.client.get(), CallPacket(i), "", {}));
      CHECK(desk.Next(session.operator->()) == Taken::kCall);
      const Descriptor file = NewFile();
      CHECK(ftruncate(file.get(), i) == 0);
      const int number = file.get();
      const std::string data(100'000 + i, static_cast<char>(i));
      fate = Reply(session.id, i, {0, data.data(), data.size(), &number, 1}, false);
      CHECK((fate & ~kQueued) == 0);
    }
    CHECK(fate == kQueued && door->running() > 0);
    CHECK(door->Want(true) > 0);
    for (uint32_t i = 0; i < kCalls; ++i) {
      std::string data;
      int64_t size = -1;
      do {
        fate |= session->Flush();
        Got got(session.client.get());
        CHECK(got.error == 0 && got.arrival.packet.sequence == i);
        data.append(got.scratch.data(), got.arrival.size);
        struct stat status {};
        if (got.arrival.count() == 1 && fstat(got.arrival.descriptors()[0], &status) == 0)
          size = status.st_size;
      } while (data.size() < 100'000 + i);
      CHECK(data == std::string(100'000 + i, static_cast<char>(i)) && size == i);
    }
    CHECK(door->running() == 0 && (fate & kRest) != 0);
    CHECK(session->Flush() == 0);
  }
  CHECK(CountOpen() == before);
}

void WhatIsGoneIsHarmless() {
  TestDoor door;
  TestSession session(door.number, 0);
  Desk desk;
  CHECK(SendOne(session.client.get(), CallPacket(7), "", {}));
  CHECK(desk.Next(session.operator->(), 5) == Taken::kCall);
  CHECK(session->Thread(7) == 5 && !session->Aborted(7));
  CHECK(Reply(session.id, 8, {}, false) == kGone);
  const int bad = 9999;
  CHECK(Reply(session.id, 7, {0, nullptr, 0, &bad, 1}, false) == -EBADF);
  CHECK(session->Thread(7) == 5);
  CHECK(door->Want(true) == 1);
  CHECK(CloseSession(session.id) == 0);
  CHECK(session->Descriptor() == -EBADF && SessionsOf(door.number).empty());
  CHECK(session->Aborted(7));
  CHECK(desk.Next(session.operator->()) == Taken::kOver);
  CHECK(Reply(session.id, 7, {}, false) == (kGone | kRest));
  CHECK(!Sessions().Find(session.id));
  CHECK(Reply(session.id, 7, {}, false) == kGone && CloseSession(session.id) == kGone);
  CHECK(OpenSession(Descriptor(), door.number, 0) == -EBADF);
  CHECK(OpenSession(NewFile(), door.number, 0) == -EPROTOTYPE);
  CHECK(OpenSession(NewFile(), door.number, kWithArea) == -EINVAL);
  CHECK(OpenSession(NewFile(), door.number, 4) == -EINVAL);
  CHECK(OpenSession(NewFile(), 0x7ffffff0, 0) == -EBADF);
  CHECK(CloseDoor(0x7ffffff0) == -EBADF);
}

void ACancelIsToldOnce() {
  TestDoor door;
  TestSession session(door.number, 0);
  Desk desk;
  CHECK(SendOne(session.client.get(), CallPacket(7), "", {}));
  CHECK(SendOne(session.client.get(), {Type::kCancel, 9, 0, 0, 0}, "", {}));
  CHECK(SendOne(session.client.get(), {Type::kCancel, 7, 0, 0, 0}, "", {}));
  CHECK(desk.Next(session.operator->()) == Taken::kCall);
  CHECK(desk.Next(session.operator->()) == Taken::kCancel && desk.take.sequence == 7);
  CHECK(session->Aborted(7));
  CHECK(Reply(session.id, 7, {}, false) == 0);
}

void AThreadThatIsGoneHasAnswered() {
  TestDoor door;
  TestSession session(door.number, 0);
  TestSession other(door.number, 0);
  Desk desk;
  for (uint32_t i = 1; i <= 4; ++i) {
    CHECK(SendOne(session.client.get(), CallPacket(i), "", {}));
    CHECK(desk.Next(session.operator->(), i % 2 == 0 ? 7 : 8) == Taken::kCall);
  }
  CHECK(ThreadGone(7) == std::vector<uint32_t>{session.id});
  for (int i = 0; i < 2; ++i) {
    Got got(session.client.get());
    CHECK(got.status() == -EINTR && got.arrival.packet.sequence % 2 == 0);
  }
  CHECK(door->running() == 2 && ThreadGone(7).empty());
  CHECK(Reply(session.id, 2, {}, false) == kGone && Reply(session.id, 1, {}, false) == 0);
}

void ASessionIsClosedWhileOthersAreInIt() {
  TestDoor door;
  const size_t before = CountOpen();
  for (int round = 0; round < 200; ++round) {
    TestSession session(door.number, round % 2 == 0 ? 0 : kSequential | kWithArea);
    std::vector<std::thread> threads;
    for (int thread = 1; thread <= 2; ++thread) {
      threads.emplace_back([&, thread] {
        Desk desk;
        for (;;) {
          const auto found = Sessions().Find(session.id);
          if (!found) return;
          const Taken taken = desk.Next(found, thread, 100);
          if (taken == Taken::kOver) return;
          if (taken == Taken::kCall) Reply(session.id, desk.take.sequence, {}, true);
        }
      });
    }
    threads.emplace_back([&] {
      for (uint32_t i = 0; i < 20; ++i) SendOne(session.client.get(), CallPacket(i), "", {});
    });
    if (round % 4 > 1) std::this_thread::yield();
    CloseSession(session.id);
    for (std::thread& thread : threads) thread.join();
    CHECK(!Sessions().Find(session.id));
  }
  CHECK(door->running() == 0 && CountOpen() == before);
}

}  // namespace

int main() {
  CallsAreWholeHoweverTheyAreCut(1);
  LimitsAreLookedAtInTheOrderOfDoorCall();
  GarbageEndsASession();
  ShortAndLongPacketsAndAnEndAreTheEnd();
  LostDescriptorsAreToldToTheClient();
  RepliesThatWaitGoOutInOrder();
  WhatIsGoneIsHarmless();
  ACancelIsToldOnce();
  AThreadThatIsGoneHasAnswered();
  ASessionIsClosedWhileOthersAreInIt();
  puts("session_test: ok");
  return 0;
}
