// States of connections: what leaves comes back the same, and what is damaged is refused.
#include "hand_over.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "check.h"
#include "connection.h"

namespace {

using http1::Connection;
using http1::ConnectionTable;
using http1::Phase;

int NewSocket() {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0);
  return fd;
}

// A connection that has read `input`, yielded.
int NewYielded(const std::string& input, uint32_t requests) {
  const int fd = NewSocket();
  Connection* const connection = ConnectionTable::Shared().Open(fd);
  CHECK(connection != nullptr && connection->input.Append(input.data(), input.size()));
  connection->requests = requests;
  connection->SetPhase(input.empty() ? Phase::kIdle : Phase::kHead, http1::MonotonicMilliseconds() + 5000);
  connection->Yield();
  return fd;
}

std::vector<char> StateOf(int fd) {
  std::vector<char> state(http1::StateSize(fd));
  CHECK(http1::ExportState(fd, state.data(), state.size()) == state.size());
  return state;
}

void WhatLeavesComesBackTheSame() {
  for (const std::string& input : {std::string(), std::string("GET / HT"), std::string(20'000, 'x')}) {
    const int old = NewYielded(input, 7);
    const std::vector<char> state = StateOf(old);
    CHECK(state.size() == http1::kStateHead + input.size());
    const int fresh = NewSocket();
    CHECK(http1::Adopt(fresh, state.data(), state.size()) == 0);
    CHECK(StateOf(fresh).size() == state.size());
    CHECK(http1::Reinstate(fresh) == (input.empty() ? 0 : 1));
    Connection* const connection = ConnectionTable::Shared().Find(fresh);
    CHECK(connection->requests == 7);
    CHECK(std::string(connection->input.data(), connection->input.size()) == input);
    CHECK(connection->CurrentPhase() == (input.empty() ? Phase::kIdle : Phase::kHead));
    const int64_t left = connection->deadline.load() - http1::MonotonicMilliseconds();
    CHECK(left > 3000 && left <= 5000);
    CHECK(http1::Reinstate(fresh) == -EBADF && http1::StateSize(fresh) == 0 && !http1::Release(fresh));
    CHECK(http1::Release(old) && !http1::Release(old));
    ConnectionTable::Shared().Close(*connection);
    close(fresh);
  }
}

void OnlyYieldedOnesLeave() {
  const int fd = NewSocket();
  Connection* const connection = ConnectionTable::Shared().Open(fd);
  connection->SetPhase(Phase::kIdle, 0);
  int32_t list[4];
  CHECK(http1::StateSize(fd) == 0 && http1::Yielded(list, 4) == 0);
  connection->Yield();
  CHECK(http1::Yielded(list, 4) == 1 && list[0] == fd && http1::Yielded(list, 0) == 0);
  CHECK(http1::Release(fd) && http1::Yielded(list, 4) == 0);
}

void DamagedStatesAreRefused(unsigned seed) {
  const int old = NewYielded("GET / HTTP/1.1\r\n", 1);
  const std::vector<char> good = StateOf(old);
  const int fresh = NewSocket();
  std::mt19937 random(seed);
  for (int round = 0; round < 20'000; ++round) {
    std::vector<char> state = good;
    state.resize(random() % (good.size() + 8));
    for (unsigned i = random() % 4; i > 0 && !state.empty(); --i) {
      state[random() % state.size()] = static_cast<char>(random());
    }
    const int result = http1::Adopt(fresh, state.data(), state.size());
    CHECK(result == 0 || result == -EINVAL);
    if (result != 0) continue;
    CHECK(http1::StateSize(fresh) == state.size());
    ConnectionTable::Shared().Close(*ConnectionTable::Shared().Find(fresh));
  }
  CHECK(http1::Adopt(old, good.data(), good.size()) == -EEXIST);
  CHECK(http1::Adopt(-1, good.data(), good.size()) == -EMFILE);
  CHECK(http1::Release(old));
  close(fresh);
}

}  // namespace

int main() {
  WhatLeavesComesBackTheSame();
  OnlyYieldedOnesLeave();
  DamagedStatesAreRefused(1);
  return 0;
}
