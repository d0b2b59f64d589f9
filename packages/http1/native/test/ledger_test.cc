// What a process that dies has told the one from which it had its connections: which of them that one goes on
// with.
#include "ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "connection.h"
#include "hand_over.h"

namespace {

using http1::Connection;
using http1::ConnectionTable;
using http1::Phase;
using http1::Standing;

// A connection that two processes have: here they are two numbers of one.
struct Shared {
  int peer;
  int old;
  int fresh;
};

Connection& Of(int fd) {
  return *ConnectionTable::Shared().Find(fd);
}

Shared NewShared(const std::string& input) {
  std::array<int, 2> pair{};
  CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
  const Shared shared{pair[0], pair[1], dup(pair[1])};
  Connection* const connection = ConnectionTable::Shared().Open(shared.old);
  CHECK(connection != nullptr && connection->input.Append(input.data(), input.size()));
  connection->SetPhase(input.empty() ? Phase::kIdle : Phase::kHead, http1::MonotonicMilliseconds() + 5000);
  connection->Yield();
  std::vector<char> state(http1::StateSize(shared.old));
  http1::ExportState(shared.old, state.data(), state.size());
  CHECK(http1::Adopt(shared.fresh, state.data(), state.size()) == 0);
  return shared;
}

std::string Kept(int fd) {
  return {Of(fd).input.data(), Of(fd).input.size()};
}

void WhatIsCertainGoesOn() {
  const Shared untouched = NewShared("GET / HT");
  const Shared between = NewShared("GET / HT");
  const Shared in_hand = NewShared("");
  const Shared ended = NewShared("");
  const Shared late = NewShared("");
  std::array<int32_t, 4> fresh{untouched.fresh, between.fresh, in_hand.fresh, ended.fresh};
  CHECK(!http1::JoinLedger(late.fresh));
  const int ledger = http1::OpenLedger(fresh.data(), fresh.size());
  CHECK(ledger >= 0 && http1::JoinLedger(late.fresh));
  Of(between.fresh).requests = 12;
  Of(between.fresh).Note(Standing::kBetween);
  Of(in_hand.fresh).Note(Standing::kInHand);
  http1::End(ended.fresh, Of(ended.fresh));
  // It has ended for the client, although the other process has it open.
  char byte = 0;
  CHECK(recv(ended.peer, &byte, 1, 0) == 0);

  std::array<int32_t, 5> old{untouched.old, between.old, in_hand.old, ended.old, late.old};
  CHECK(http1::TakeBack(ledger, old.data(), old.size(), 60'000) == 3);
  CHECK(old[0] == untouched.old && old[1] == between.old && old[2] == late.old);
  CHECK(Kept(untouched.old) == "GET / HT" && http1::Reinstate(untouched.old) == 1);
  CHECK(Kept(between.old).empty() && Of(between.old).requests == 12 && http1::Reinstate(between.old) == 0);
  CHECK(Of(between.old).deadline.load() > http1::MonotonicMilliseconds() + 50'000);
  CHECK(http1::StateSize(in_hand.old) == 0 && http1::StateSize(ended.old) == 0);

  http1::CloseLedger();
  CHECK(!http1::JoinLedger(late.fresh));
  // From now on it is closed as any other, and what the word says is nobody's.
  http1::End(untouched.fresh, Of(untouched.fresh));
  CHECK(recv(untouched.peer, &byte, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
  for (const int fd : {between.fresh, in_hand.fresh, late.fresh}) http1::End(fd, Of(fd));
  for (const int fd : {untouched.old, between.old}) http1::End(fd, Of(fd));
  CHECK(http1::Release(late.old));
  for (const Shared& shared : {untouched, between, in_hand, ended, late}) close(shared.peer);
  close(ledger);
}

void WhatIsNoLedgerChangesNothing() {
  const Shared shared = NewShared("");
  std::array<int32_t, 1> old{shared.old};
  CHECK(http1::TakeBack(-1, old.data(), 1, 0) == -EBADF);
  const int other = memfd_create("other", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(ftruncate(other, 4096) == 0 && http1::TakeBack(other, old.data(), 1, 0) == -EINVAL);
  CHECK(ftruncate(other, 8 * ConnectionTable::kCapacity) == 0);
  // Its maker could shrink it while it is read.
  CHECK(http1::TakeBack(other, old.data(), 1, 0) == -EINVAL);
  CHECK(http1::StateSize(shared.old) > 0);
  std::array<int32_t, 1> nobody{shared.peer};
  CHECK(http1::OpenLedger(nobody.data(), 1) == -EBADF);
  CHECK(http1::Release(shared.old));
  http1::End(shared.fresh, Of(shared.fresh));
  close(shared.peer);
  close(other);
}

// Late connections join while others are served, each by a thread of its own.
void ThreadsJoinAndNote() {
  constexpr int kThreads = 4;
  constexpr int kEach = 200;
  const int ledger = http1::OpenLedger(nullptr, 0);
  CHECK(ledger >= 0);
  std::vector<Shared> all;
  for (int i = 0; i < kThreads * kEach; ++i) all.push_back(NewShared(""));
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&all, thread] {
      for (size_t i = 0; i < kEach; ++i) {
        const Shared& shared = all[static_cast<size_t>(thread) * kEach + i];
        CHECK(http1::JoinLedger(shared.fresh));
        Of(shared.fresh).Note(Standing::kInHand);
        Of(shared.fresh).Note(Standing::kBetween);
        http1::End(shared.fresh, Of(shared.fresh));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  std::array<uint64_t, kThreads * kEach> words{};
  CHECK(pread(ledger, words.data(), sizeof words, 0) == static_cast<ssize_t>(sizeof words));
  for (const uint64_t word : words) CHECK(word == static_cast<uint64_t>(Standing::kEnded));
  http1::CloseLedger();
  for (const Shared& shared : all) {
    CHECK(http1::Release(shared.old));
    close(shared.peer);
  }
  close(ledger);
}

}  // namespace

int main() {
  WhatIsCertainGoesOn();
  WhatIsNoLedgerChangesNothing();
  ThreadsJoinAndNote();
  return 0;
}
