// The words that tasks wait by: threads stand for the tasks here, so that ThreadSanitizer sees what is
// ordered by them.
#include "futex.h"

#include <atomic>
#include <thread>
#include <vector>

#include "check.h"
#include "program_builder.h"
#include "start_time.h"
#include "state.h"

using restore::CountTo;
using restore::RaiseAndWake;
using restore::WaitForAtLeast;
using restore::Word;

namespace {

constexpr uint32_t kThreads = 4;

// What each did before it counted is seen by the one who waited for all.
void TestCountTo() {
  for (int round = 0; round < 200; round++) {
    Word arrived{0};
    Word committed{0};
    int written[kThreads] = {};
    int order = 0;
    std::vector<std::thread> threads;
    for (uint32_t i = 0; i < kThreads; i++) {
      threads.emplace_back([&, i] {
        written[i] = 1;
        CountTo(arrived, kThreads);
        WaitForAtLeast(committed, 1);
        CHECK(order == 1);
      });
    }
    WaitForAtLeast(arrived, kThreads);
    for (const int one : written) CHECK(one == 1);
    order = 1;
    RaiseAndWake(committed);
    for (std::thread& thread : threads) thread.join();
  }
}

// Of many failures one is told, whole.
void TestFirstFailure() {
  for (int round = 0; round < 200; round++) {
    restore::test::ProgramBuilder builder;
    const auto* bytes = static_cast<const restore::program::Header*>(builder.Bytes());
    restore::test::StateMemory memory(*bytes);
    const restore::SharedState& state = memory.state();
    std::vector<std::thread> threads;
    for (uint32_t i = 1; i <= kThreads; i++) {
      threads.emplace_back([&, i] {
        state.Fail(restore::FailureKind::kCall, i, i, i, static_cast<int>(i), i);
        if (!state.failed()) return;
        const restore::Failure& failure = state.header->failure;
        CHECK(failure.task == failure.op && failure.task == failure.call && failure.detail == failure.error);
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(state.failed());
  }
}

void TestStartTime() {
  const char text[] = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 9 9";
  CHECK(restore::StartTimeIn(text, sizeof text - 1) == 424242);
  CHECK(restore::StartTimeIn("", 0) == 0 && restore::StartTimeIn("7 (a", 4) == 0);
  CHECK(restore::StartTime(getpid()) != 0 && restore::StartTime(getpid()) == restore::StartTime(getpid()));
  CHECK(restore::StartTime(0) == 0);
}

}  // namespace

int main() {
  TestCountTo();
  TestFirstFailure();
  TestStartTime();
  return 0;
}
