// The set of reserved numbers, and the places that temporary descriptors get beside it.
#include "numbers.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "check.h"
#include "descriptor_table.h"

using restore::DescriptorTable;
using restore::NumberSet;

namespace {

constexpr int kMost = 4096;

std::vector<uint32_t> SetOf(const std::vector<int>& numbers) {
  std::vector<uint32_t> words;
  for (const int number : numbers) {
    const auto word = static_cast<size_t>(number) / 32;
    if (word >= words.size()) words.resize(word + 1);
    words[word] |= uint32_t{1} << (number % 32);
  }
  return words;
}

bool IsOpen(int number) {
  return fcntl(number, F_GETFD) >= 0;
}

void TestNextOutside() {
  const std::vector<uint32_t> words = SetOf({0, 1, 3, 31, 32, 63, 64, 65});
  const NumberSet set(words.data(), words.size());
  CHECK(set.NextOutside(0) == 2);
  CHECK(set.NextOutside(2) == 2);
  CHECK(set.NextOutside(3) == 4);
  CHECK(set.NextOutside(31) == 33);
  CHECK(set.NextOutside(63) == 66);
  CHECK(set.NextOutside(96) == 96);
  CHECK(set.NextOutside(2'000'000'000) == 2'000'000'000);
  CHECK(set.Has(65) && !set.Has(66) && !set.Has(96) && !set.Has(2'000'000'000));
  const std::vector<uint32_t> full(4, 0xffffffff);
  CHECK(NumberSet(full.data(), full.size()).NextOutside(0) == 128);
  CHECK(NumberSet().NextOutside(17) == 17);
}

// What was opened first stays where it is put, and no temporary one gets a reserved number.
void TestOutOfTheWay() {
  std::vector<int> reserved;
  for (int number = 3; number < 200; number++) {
    if (number % 3 != 0) reserved.push_back(number);
  }
  const std::vector<uint32_t> words = SetOf(reserved);
  const NumberSet set(words.data(), words.size());
  DescriptorTable table(set);
  std::vector<int> open_now;
  for (int i = 0; i < 300; i++) {
    int descriptor = open("/dev/null", O_RDONLY | O_CLOEXEC);
    CHECK(table.OutOfTheWay(descriptor).ok());
    CHECK(!set.Has(descriptor) && IsOpen(descriptor));
    open_now.push_back(descriptor);
  }
  for (const int number : reserved) CHECK(!IsOpen(number));
  // What is dropped is used again.
  const int low = open_now[0];
  CHECK(table.Drop(low).ok() && !IsOpen(low));
  int again = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(table.OutOfTheWay(again).ok() && again == low);
  for (const int number : open_now) CHECK(table.Drop(number).ok());
}

void TestExactNumbers() {
  const std::vector<uint32_t> words = SetOf({5, 6, 7});
  DescriptorTable table(NumberSet(words.data(), words.size()));
  int first = open("/dev/null", O_RDONLY);
  CHECK(table.Move(first, 7, true).ok() && first == 7);
  CHECK(fcntl(7, F_GETFD) == FD_CLOEXEC);
  CHECK(table.Settle(first, 7, false).ok() && fcntl(7, F_GETFD) == 0);
  int second = open("/dev/null", O_RDONLY);
  const restore::Result taken = table.Copy(second, 7, false);
  CHECK(taken.error == EBUSY && taken.detail == 7);
  rlimit limit{};
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const auto above = static_cast<int>(limit.rlim_cur);
  CHECK(table.Copy(second, above, false).error == EMFILE);
  CHECK(table.Copy(second, above - 1, false).ok() && IsOpen(above - 1));
  CHECK(table.Drop(above - 1).ok() && table.Drop(7).ok() && table.Drop(second).ok());
  CHECK(table.Drop(second).error == EBADF);
}

// Both ends of a pipe, each at the number that the other one wants.
void TestCrossedPair() {
  int ends[2];
  CHECK(pipe2(ends, O_CLOEXEC) == 0);
  const int low = ends[0];
  const int high = ends[1];
  const std::vector<uint32_t> words = SetOf({low, high});
  DescriptorTable table(NumberSet(words.data(), words.size()));
  const int wanted[2] = {high, low};
  const bool cloexec[2] = {true, false};
  CHECK(table.MovePair(ends, wanted, cloexec).ok());
  CHECK(ends[0] == high && ends[1] == low);
  CHECK(fcntl(high, F_GETFD) == FD_CLOEXEC && fcntl(low, F_GETFD) == 0);
  CHECK((fcntl(high, F_GETFL) & O_ACCMODE) == O_RDONLY && (fcntl(low, F_GETFL) & O_ACCMODE) == O_WRONLY);
  for (int number = 3; number < kMost; number++) CHECK(IsOpen(number) == (number == low || number == high));
  CHECK(table.Drop(low).ok() && table.Drop(high).ok());
}

}  // namespace

int main() {
  // What the test inherits is not at numbers that it looks at.
  CHECK(syscall(SYS_close_range, 3, ~0U, 0) == 0);
  rlimit limit{};
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = kMost;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  TestNextOutside();
  TestOutOfTheWay();
  TestExactNumbers();
  TestCrossedPair();
  return 0;
}
