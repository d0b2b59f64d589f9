// Programs as src/program/encode.ts writes them, in memory that ends where they end: so that a sanitizer sees
// whoever reads beyond.
#ifndef X_RESTORE_TEST_PROGRAM_BUILDER_H_
#define X_RESTORE_TEST_PROGRAM_BUILDER_H_

#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "decoder.h"
#include "program.h"
#include "state.h"

namespace restore::test {

class ProgramBuilder {
 public:
  ProgramBuilder() { blobs_.push_back('\0'); }
  ProgramBuilder(const ProgramBuilder&) = delete;
  ProgramBuilder& operator=(const ProgramBuilder&) = delete;
  ~ProgramBuilder() { free(bytes_); }

  uint32_t slots = 0;
  uint32_t tasks = 1;
  std::map<uint32_t, std::vector<uint32_t>> targets;

  static program::Op Empty(program::Code code, uint32_t task) {
    program::Op op{};
    op.code = code;
    op.task = task;
    op.out = op.out2 = program::kNoSlot;
    op.number = op.number2 = program::kNoNumber;
    op.undo = program::kNoUndo;
    return op;
  }

  program::Op& Add(program::Code code, uint32_t task, std::initializer_list<int64_t> args = {}) {
    program::Op op = Empty(code, task);
    op.index = static_cast<uint32_t>(ops_.size());
    size_t i = 0;
    for (const int64_t arg : args) op.args[i++] = arg;
    ops_.push_back(op);
    return ops_.back();
  }

  uint64_t Blob(const std::string& text) {
    const size_t at = blobs_.size();
    blobs_.insert(blobs_.end(), text.begin(), text.end());
    blobs_.push_back('\0');
    return at;
  }

  void AddUndo(program::UndoKind kind, const std::string& a, const std::string& b = "") {
    program::Op& op = Add(program::Code::kSyscall, 0);
    op.flags = program::kUndo;
    op.undo = static_cast<uint32_t>(undo_.size());
    undo_.push_back(
        {.op = op.index, .kind = kind, .a = Blob(a), .b = Blob(b), .until = program::kNever, .unused = 0});
  }

  // With a barrier for every task that has none. The bytes live until the next call.
  void* Bytes() {
    for (uint32_t task = 0; task < tasks; task++) {
      bool has = false;
      for (const program::Op& op : ops_) has = has || (op.code == program::Code::kBarrier && op.task == task);
      if (!has) Add(program::Code::kBarrier, task);
    }
    std::vector<char> blobs = blobs_;
    std::vector<program::Task> heads(tasks);
    std::vector<program::Op> sorted;
    for (uint32_t task = 0; task < tasks; task++) {
      heads[task].targets_count = program::kNoTargets;
      if (const auto found = targets.find(task); found != targets.end()) {
        blobs.resize((blobs.size() + 7) / 8 * 8);
        heads[task].targets_at = static_cast<uint32_t>(blobs.size());
        heads[task].targets_count = static_cast<uint32_t>(found->second.size());
        const char* first = reinterpret_cast<const char*>(found->second.data());
        blobs.insert(blobs.end(), first, first + found->second.size() * 4);
      }
      heads[task].ops_first = static_cast<uint32_t>(sorted.size());
      for (const program::Op& op : ops_) {
        if (op.task == task) sorted.push_back(op);
      }
      heads[task].ops_count = static_cast<uint32_t>(sorted.size()) - heads[task].ops_first;
    }
    blobs.resize((blobs.size() + 8) / 8 * 8);
    program::Header header{};
    header.magic = program::kMagic;
    header.version = program::kVersion;
    header.task_count = tasks;
    header.op_count = static_cast<uint32_t>(sorted.size());
    header.slot_count = slots;
    header.undo_count = static_cast<uint32_t>(undo_.size());
    header.tasks_at = sizeof header;
    header.ops_at = (header.tasks_at + heads.size() * sizeof heads[0] + 7) / 8 * 8;
    header.undo_at = header.ops_at + sorted.size() * sizeof(program::Op);
    header.reserved_at = header.blobs_at = header.undo_at + undo_.size() * sizeof(program::Undo);
    header.blobs_size = blobs.size();
    size_ = header.blobs_at + blobs.size();
    free(bytes_);
    bytes_ = static_cast<char*>(calloc(size_, 1));
    memcpy(bytes_, &header, sizeof header);
    memcpy(bytes_ + header.tasks_at, heads.data(), heads.size() * sizeof heads[0]);
    if (!sorted.empty()) memcpy(bytes_ + header.ops_at, sorted.data(), sorted.size() * sizeof sorted[0]);
    if (!undo_.empty()) memcpy(bytes_ + header.undo_at, undo_.data(), undo_.size() * sizeof undo_[0]);
    memcpy(bytes_ + header.blobs_at, blobs.data(), blobs.size());
    return bytes_;
  }

  size_t size() const { return size_; }

  Damage Decode(Program& program) {
    const void* bytes = Bytes();
    return program.Decode(bytes, size_);
  }

 private:
  std::vector<program::Op> ops_;
  std::vector<program::Undo> undo_;
  std::vector<char> blobs_;
  char* bytes_ = nullptr;
  size_t size_ = 0;
};

// The state of a run, in memory of this process.
class StateMemory {
 public:
  explicit StateMemory(const program::Header& header)
      : bytes_(aligned_alloc(64, (SharedState::SizeFor(header) + 63) / 64 * 64)) {
    memset(bytes_, 0, SharedState::SizeFor(header));
    state_.Lay(bytes_, header);
  }
  StateMemory(const StateMemory&) = delete;
  StateMemory& operator=(const StateMemory&) = delete;
  ~StateMemory() { free(bytes_); }
  const SharedState& state() const { return state_; }

 private:
  void* bytes_;
  SharedState state_;
};

}  // namespace restore::test

#endif  // X_RESTORE_TEST_PROGRAM_BUILDER_H_
