// A damaged program is refused, wherever the damage is, and never leads the decoder out of the program.
#include "decoder.h"

#include <random>
#include <vector>

#include "check.h"
#include "program_builder.h"

using restore::Damage;
using restore::Program;
using restore::program::ArgumentKind;
using restore::program::Code;
using restore::program::Op;
using restore::program::UndoKind;
using restore::test::ProgramBuilder;
namespace program = restore::program;

namespace {

Damage Decode(ProgramBuilder& builder) {
  Program decoded;
  return builder.Decode(decoded);
}

Op& AddOut(ProgramBuilder& builder, Code code, uint32_t task, std::initializer_list<int64_t> args = {}) {
  Op& op = builder.Add(code, task, args);
  op.flags = program::kOut | program::kPost;
  op.out = builder.slots++;
  return op;
}

// One of everything.
void Fill(ProgramBuilder& builder) {
  builder.tasks = 3;
  builder.targets[1] = {3, 4, 9};
  const uint32_t inherited = AddOut(builder, Code::kSyscall, 0).out;
  builder.Add(Code::kFork, 0, {1, 0, 77});
  const auto list = static_cast<int64_t>(
      builder.Blob(std::string(reinterpret_cast<const char*>(&inherited), sizeof inherited)));
  builder.Add(Code::kAdopt, 1, {0, list, 1, builder.slots++});
  builder.Add(Code::kFork, 1, {2, program::kForkFiles, 0});
  Op& pipe = AddOut(builder, Code::kSyscall, 1);
  pipe.out2 = builder.slots++;
  pipe.kinds[0] = ArgumentKind::kPair;
  const uint32_t end = pipe.out;
  const uint32_t filled = pipe.index;
  builder.Add(Code::kWait, 2, {1, filled});
  AddOut(builder, Code::kFetch, 2, {1, end});
  builder.Add(Code::kMove, 1, {end, 9, 1});
  AddOut(builder, Code::kCopy, 1, {end, 3, 0});
  builder.Add(Code::kDrop, 1, {end + 1});
  const auto text = static_cast<int64_t>(builder.Blob("text"));
  builder.Add(Code::kWrite, 1, {end, text, 4});
  builder.Add(Code::kCopyFile, 1, {end, text, 0, -1, -1});
  builder.Add(Code::kSend, 1, {end, text, 4, 0, 0, 0});
  AddOut(builder, Code::kOpenPtmx, 1, {4, 0, text});
  builder.Add(Code::kDeadPidfds, 1, {text, 1, builder.slots++});
  builder.Add(Code::kFromNow, 1, {1, static_cast<int64_t>(builder.Blob(std::string(32, 'x')))});
  builder.Add(Code::kStore, 1, {8, 5, 4});
  builder.AddUndo(UndoKind::kRename, "/a", "/b");
  builder.AddUndo(UndoKind::kUnlink, "/c");
  for (uint32_t task = 0; task < 3; task++) builder.Add(Code::kBarrier, task);
  builder.Add(Code::kSweep, 1);
  builder.Add(Code::kExec, 1, {text, text, static_cast<int64_t>(builder.Blob(""))});
}

void TestWhole() {
  ProgramBuilder builder;
  Fill(builder);
  Program decoded;
  CHECK(builder.Decode(decoded) == Damage::kNone);
  CHECK(decoded.facts(1).executes && decoded.facts(1).fetched_from && decoded.facts(2).table == 1);
}

void TestShortened() {
  ProgramBuilder builder;
  Fill(builder);
  const auto* bytes = static_cast<const char*>(builder.Bytes());
  for (size_t size = 0; size < builder.size(); size++) {
    // A copy, so that what is behind it is not ours.
    void* part = malloc(size == 0 ? 1 : size);
    memcpy(part, bytes, size);
    Program decoded;
    CHECK(decoded.Decode(part, size) != Damage::kNone);
    free(part);
  }
}

// Bytes are changed at random, a few at a time. Most such programs are refused; none may lead outside.
void TestRandomDamage(uint32_t seed) {
  ProgramBuilder builder;
  Fill(builder);
  const auto* bytes = static_cast<const char*>(builder.Bytes());
  std::mt19937 random(seed);
  const uint8_t special[] = {0, 1, 0x7f, 0x80, 0xfe, 0xff};
  for (int round = 0; round < 30'000; round++) {
    static std::vector<char> copy;
    copy.assign(bytes, bytes + builder.size());
    for (uint32_t changes = random() % 4 + 1; changes > 0; changes--) {
      copy[random() % copy.size()] = static_cast<char>(special[random() % sizeof special]);
    }
    Program decoded;
    (void)decoded.Decode(copy.data(), copy.size());
  }
}

void TestForks() {
  ProgramBuilder never;
  never.tasks = 2;
  CHECK(Decode(never) == Damage::kFork);
  ProgramBuilder twice;
  twice.tasks = 2;
  twice.Add(Code::kFork, 0, {1});
  twice.Add(Code::kFork, 0, {1});
  CHECK(Decode(twice) == Damage::kFork);
  ProgramBuilder late;
  late.tasks = 2;
  late.Add(Code::kBarrier, 0);
  late.Add(Code::kFork, 0, {1});
  CHECK(Decode(late) == Damage::kFork);
}

void TestSlots() {
  ProgramBuilder empty;
  empty.slots = 1;
  empty.Add(Code::kDrop, 0, {0});
  CHECK(Decode(empty) == Damage::kSlot);
  ProgramBuilder foreign;
  foreign.tasks = 2;
  foreign.Add(Code::kFork, 0, {1});
  AddOut(foreign, Code::kSyscall, 0);
  foreign.Add(Code::kDrop, 1, {0});
  CHECK(Decode(foreign) == Damage::kSlot);
  ProgramBuilder twice;
  AddOut(twice, Code::kSyscall, 0);
  AddOut(twice, Code::kSyscall, 0).out = 0;
  CHECK(Decode(twice) == Damage::kSlot);
}

// Without these two tasks could wait for each other.
void TestWaits() {
  ProgramBuilder later;
  later.tasks = 2;
  later.Add(Code::kFork, 0, {1});
  later.Add(Code::kWait, 1, {0, 2});
  later.Add(Code::kSyscall, 0).flags = program::kPost;
  CHECK(Decode(later) == Damage::kWait);
  ProgramBuilder silent;
  silent.tasks = 2;
  silent.Add(Code::kFork, 0, {1});
  silent.Add(Code::kWait, 1, {0, 0});
  CHECK(Decode(silent) == Damage::kWait);
  ProgramBuilder behind;
  behind.tasks = 2;
  behind.Add(Code::kFork, 0, {1});
  behind.Add(Code::kBarrier, 0);
  behind.Add(Code::kSyscall, 0).flags = program::kPost;
  behind.Add(Code::kWait, 1, {0, 2});
  CHECK(Decode(behind) == Damage::kWait);
}

void TestSweepNeedsTargets() {
  ProgramBuilder builder;
  builder.tasks = 2;
  builder.Add(Code::kFork, 0, {1});
  builder.Add(Code::kSweep, 1);
  CHECK(Decode(builder) == Damage::kTargets);
  builder.targets[1] = {4, 4};
  CHECK(Decode(builder) == Damage::kTargets);
  builder.targets[1] = {};
  CHECK(Decode(builder) == Damage::kNone);
}

}  // namespace

int main() {
  TestWhole();
  TestShortened();
  TestRandomDamage(20061127);
  TestForks();
  TestSlots();
  TestWaits();
  TestSweepNeedsTargets();
  return 0;
}
