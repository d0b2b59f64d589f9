#include "decoder.h"

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <initializer_list>

namespace restore {
namespace {

using program::ArgumentKind;
using program::Code;
using program::kNoNumber;
using program::kNoSlot;
using program::kNoTargets;
using program::kNoUndo;
using program::Op;
using program::Task;
using program::Undo;

constexpr uint16_t kAllFlags = program::kOut | program::kCloexec | program::kCloexec2 | program::kExpect |
                               program::kPost | program::kUndo;
constexpr int64_t kAllForkFlags = program::kForkFiles | program::kForkFs | program::kForkSibling;
constexpr int kArguments = 6;
constexpr int64_t kMostRights = 253;      // SCM_MAX_FD
constexpr int64_t kLongestAddress = 128;  // sockaddr_storage
constexpr int64_t kHighestNumber = INT32_MAX;

bool IsNumber(int64_t value) {
  return value >= 0 && value <= kHighestNumber;
}

}  // namespace

Program::~Program() {
  free(facts_);
  free(slots_);
  free(places_);
}

template <typename T>
bool Program::Part(uint64_t at, uint64_t count, const T*& part) const {
  if (at % 8 != 0 || at > size_ || count > (size_ - at) / sizeof(T)) return false;
  part = reinterpret_cast<const T*>(bytes_ + at);
  return true;
}

Damage Program::Decode(const void* bytes, size_t size) {
  bytes_ = static_cast<const uint8_t*>(bytes);
  const Damage parts = DecodeParts(size);
  if (parts != Damage::kNone) return parts;
  const Damage order = DecodeOrder();
  if (order != Damage::kNone) return order;
  // In the order of the list: what an operation needs has been seen when its turn comes.
  for (index_ = 0; index_ < header_->op_count; index_++) {
    const Damage damage = DecodeOp(ops_[places_[index_] - 1]);
    if (damage != Damage::kNone) return damage;
  }
  for (uint32_t task = 0; task < header_->task_count; task++) {
    if (!facts_[task].made) return Damage::kFork;
    if (facts_[task].barrier == 0) return Damage::kBarrier;
  }
  return DecodeUndo();
}

Damage Program::DecodeParts(size_t size) {
  size_ = size;
  if (size < sizeof(program::Header) || reinterpret_cast<uintptr_t>(bytes_) % 8 != 0) return Damage::kHeader;
  header_ = reinterpret_cast<const program::Header*>(bytes_);
  const program::Header& header = *header_;
  if (header.magic != program::kMagic || header.version != program::kVersion) return Damage::kHeader;
  if (!Part(header.tasks_at, header.task_count, tasks_) || !Part(header.ops_at, header.op_count, ops_) ||
      !Part(header.undo_at, header.undo_count, undo_) ||
      !Part(header.reserved_at, header.reserved_count, reserved_) ||
      !Part(header.blobs_at, header.blobs_size, blobs_)) {
    return Damage::kParts;
  }
  // Each task but the first is made by an operation, and each slot is filled by one, or by one of the
  // slots that are listed to be adopted. So the counts are bounded by the size of the program.
  const uint64_t ops = header.op_count;
  const uint64_t adopted = header.blobs_size / sizeof(uint32_t);
  if (header.task_count == 0 || header.task_count > ops + 1 || header.slot_count > 2 * ops + adopted) {
    return Damage::kParts;
  }
  // Whoever reads a string stays inside.
  if (header.blobs_size == 0 || header.blobs_size > INT32_MAX || blobs_[header.blobs_size - 1] != '\0') {
    return Damage::kParts;
  }
  facts_ = static_cast<TaskFacts*>(calloc(header.task_count, sizeof(TaskFacts)));
  slots_ = static_cast<SlotFacts*>(calloc(size_t{header.slot_count} + 1, sizeof(SlotFacts)));
  places_ = static_cast<uint32_t*>(calloc(size_t{header.op_count} + 1, sizeof(uint32_t)));
  if (facts_ == nullptr || slots_ == nullptr || places_ == nullptr) return Damage::kMemory;
  facts_[0].made = true;
  return Damage::kNone;
}

// The operations of each task stand together, in the order of the list, and each index is there once.
Damage Program::DecodeOrder() {
  uint32_t next = 0;
  for (uint32_t index = 0; index < header_->task_count; index++) {
    const Task& task = tasks_[index];
    if (task.ops_first != next || task.ops_count > header_->op_count - next) return Damage::kTask;
    const Damage targets = DecodeTargets(task);
    if (targets != Damage::kNone) return targets;
    for (uint32_t i = 0; i < task.ops_count; i++, next++) {
      const Op& op = ops_[next];
      if (op.task != index || op.index >= header_->op_count || places_[op.index] != 0) return Damage::kOrder;
      if (i > 0 && op.index < ops_[next - 1].index) return Damage::kOrder;
      places_[op.index] = next + 1;
    }
  }
  return next == header_->op_count ? Damage::kNone : Damage::kTask;
}

Damage Program::DecodeTargets(const Task& task) const {
  if (task.targets_count == kNoTargets) return Damage::kNone;
  if (task.targets_at % 4 != 0 || !InBlobs(task.targets_at, int64_t{4} * task.targets_count)) {
    return Damage::kTargets;
  }
  const auto* targets = reinterpret_cast<const uint32_t*>(blobs_ + task.targets_at);
  for (uint32_t i = 0; i < task.targets_count; i++) {
    if (!IsNumber(targets[i]) || (i > 0 && targets[i] <= targets[i - 1])) return Damage::kTargets;
  }
  return Damage::kNone;
}

Damage Program::DecodeUndo() const {
  for (uint32_t i = 0; i < header_->undo_count; i++) {
    const Undo& undo = undo_[i];
    if (undo.kind > program::UndoKind::kRename || undo.op >= header_->op_count) return Damage::kUndo;
    if (i > 0 && undo.op <= undo_[i - 1].op) return Damage::kUndo;
    if (undo.a >= header_->blobs_size || undo.b >= header_->blobs_size) return Damage::kUndo;
    const Op& op = ops_[places_[undo.op] - 1];
    if (op.undo != i || (op.flags & program::kUndo) == 0) return Damage::kUndo;
    if (undo.until != program::kNever && (undo.until <= undo.op || undo.until >= header_->op_count)) {
      return Damage::kUndo;
    }
  }
  return Damage::kNone;
}

Damage Program::DecodeOp(const Op& op) {
  if (!facts_[op.task].made) return Damage::kFork;
  if (op.code > Code::kFromNow || (op.flags & ~kAllFlags) != 0) return Damage::kCode;
  const bool undo = (op.flags & program::kUndo) != 0;
  if (undo != (op.undo != kNoUndo) ||
      (undo && (op.code != Code::kSyscall || op.undo >= header_->undo_count))) {
    return Damage::kUndo;
  }
  if (undo && undo_[op.undo].op != op.index) return Damage::kUndo;
  bool pair = false;
  const Damage arguments = DecodeArguments(op, pair);
  if (arguments != Damage::kNone) return arguments;
  const Damage rest = DecodeByCode(op);
  if (rest != Damage::kNone) return rest;
  return DecodeOutput(op, pair);
}

Damage Program::DecodeArguments(const Op& op, bool& pair) const {
  for (int i = 0; i < kArguments; i++) {
    const int64_t value = op.args[i];
    // In all other operations the place of an argument tells its meaning.
    const bool by_kind = op.code == Code::kSyscall || (op.code == Code::kStore && i == 1);
    switch (op.kinds[i]) {
      case ArgumentKind::kValue:
        break;
      case ArgumentKind::kPath:
        if (op.code != Code::kSyscall) return Damage::kArgument;
        [[fallthrough]];
      case ArgumentKind::kSlot:
        if (by_kind && !OwnSlot(op, value)) return Damage::kSlot;
        break;
      case ArgumentKind::kBlob:
        if (by_kind && !InBlobs(value, 1)) return Damage::kArgument;
        break;
      case ArgumentKind::kPid:
        if (by_kind && (value < 0 || value >= header_->task_count || !facts_[value].made)) {
          return Damage::kArgument;
        }
        break;
      case ArgumentKind::kScratch:
        if (by_kind && (value < 0 || value >= static_cast<int64_t>(program::kScratchSize))) {
          return Damage::kArgument;
        }
        break;
      case ArgumentKind::kPair:
        if (op.code != Code::kSyscall || pair) return Damage::kArgument;
        pair = true;
        break;
      default:
        return Damage::kArgument;
    }
  }
  return Damage::kNone;
}

Damage Program::DecodeOutput(const Op& op, bool pair) {
  const bool out = (op.flags & program::kOut) != 0;
  if (!out && (op.out != kNoSlot || op.number != kNoNumber || pair)) return Damage::kSlot;
  if (pair != (op.out2 != kNoSlot) || (!pair && op.number2 != kNoNumber)) return Damage::kSlot;
  if (op.number < kNoNumber || op.number2 < kNoNumber) return Damage::kNumber;
  if (pair && op.number >= 0 && op.number == op.number2) return Damage::kNumber;
  for (const uint32_t slot : {op.out, op.out2}) {
    if (slot == kNoSlot && (slot == op.out2 || !out)) continue;
    if (slot >= header_->slot_count || slots_[slot].filled_by != 0) return Damage::kSlot;
    slots_[slot] = {.task = op.task, .filled_by = op.index + 1};
  }
  return Damage::kNone;
}

Damage Program::DecodeByCode(const Op& op) {
  const bool out = (op.flags & program::kOut) != 0;
  const auto& args = op.args;
  switch (op.code) {
    case Code::kMove:
    case Code::kCopy:
      if (!OwnSlot(op, args[0])) return Damage::kSlot;
      if (!IsNumber(args[1])) return Damage::kNumber;
      return op.code == Code::kMove && out ? Damage::kSlot : Damage::kNone;
    case Code::kDrop:
      return OwnSlot(op, args[0]) && !out ? Damage::kNone : Damage::kSlot;
    case Code::kFetch:
      return DecodeFetch(op);
    case Code::kAdopt:
      return DecodeAdopt(op);
    case Code::kFork:
      return DecodeFork(op);
    case Code::kWait:
      return DecodeWait(op);
    case Code::kWrite:
      if (!OwnSlot(op, args[0]) || out) return Damage::kSlot;
      return InBlobs(args[1], args[2]) ? Damage::kNone : Damage::kArgument;
    case Code::kCopyFile:
      if (!OwnSlot(op, args[0]) || out) return Damage::kSlot;
      if (!InBlobs(args[1], 1)) return Damage::kArgument;
      return args[2] >= 0 && args[3] >= -1 && args[4] >= -1 ? Damage::kNone : Damage::kArgument;
    case Code::kSend:
      return DecodeSend(op);
    case Code::kOpenPtmx:
      if (args[0] < 0 || !InBlobs(args[2], 1)) return Damage::kArgument;
      return out ? Damage::kNone : Damage::kSlot;
    case Code::kDeadPidfds:
      if (out) return Damage::kSlot;
      if (args[1] < 0 || args[1] > header_->slot_count || !InBlobs(args[0], args[1] * 4)) {
        return Damage::kArgument;
      }
      return FillSlots(op, args[2], args[1]);
    case Code::kFromNow:
      if (out) return Damage::kSlot;
      return InBlobs(args[1], sizeof(itimerspec)) ? Damage::kNone : Damage::kArgument;
    case Code::kBarrier:
      return out ? Damage::kSlot : DecodeBarrier(op);
    case Code::kSweep:
      if (out) return Damage::kSlot;
      return op.task != 0 && tasks_[op.task].targets_count != kNoTargets ? Damage::kNone : Damage::kTargets;
    case Code::kExec:
      return out ? Damage::kSlot : DecodeExec(op);
    case Code::kStore:
      if (out) return Damage::kSlot;
      if (args[2] != 4 && args[2] != 8) return Damage::kArgument;
      return args[0] >= 0 && args[0] <= static_cast<int64_t>(program::kScratchSize) - args[2]
                 ? Damage::kNone
                 : Damage::kArgument;
    default:
      return Damage::kNone;
  }
}

Damage Program::DecodeFetch(const Op& op) {
  const int64_t task = op.args[0];
  const int64_t slot = op.args[1];
  if (task < 0 || task >= header_->task_count || task == op.task) return Damage::kArgument;
  if (slot < 0 || slot >= header_->slot_count || slots_[slot].filled_by == 0 || slots_[slot].task != task) {
    return Damage::kSlot;
  }
  facts_[task].fetched_from = true;
  return (op.flags & program::kOut) != 0 ? Damage::kNone : Damage::kSlot;
}

Damage Program::DecodeAdopt(const Op& op) {
  const auto& args = op.args;
  const int64_t task = args[0];
  if ((op.flags & program::kOut) != 0) return Damage::kSlot;
  if (task < 0 || task >= header_->task_count || task == op.task) return Damage::kArgument;
  if (args[2] < 0 || args[2] > header_->slot_count || !InBlobs(args[1], args[2] * 4))
    return Damage::kArgument;
  // It closes what is not listed: of a table that others use that is not its to say.
  if (op.task == 0 || tasks_[op.task].targets_count == kNoTargets) return Damage::kTargets;
  for (int64_t i = 0; i < args[2]; i++) {
    uint32_t slot = 0;
    memcpy(&slot, blobs_ + args[1] + i * 4, sizeof slot);
    if (slot >= header_->slot_count || slots_[slot].filled_by == 0 || slots_[slot].task != task) {
      return Damage::kSlot;
    }
  }
  return FillSlots(op, args[3], args[2]);
}

// Those from `first` on that an operation fills besides `out`.
Damage Program::FillSlots(const Op& op, int64_t first, int64_t count) {
  if (first < 0 || first > header_->slot_count - count) return Damage::kSlot;
  for (int64_t slot = first; slot < first + count; slot++) {
    if (slots_[slot].filled_by != 0) return Damage::kSlot;
    slots_[slot] = {.task = op.task, .filled_by = op.index + 1};
  }
  return Damage::kNone;
}

Damage Program::DecodeFork(const Op& op) {
  const int64_t child = op.args[0];
  const int64_t flags = op.args[1];
  const int64_t pid = op.args[2];
  if (child <= 0 || child >= header_->task_count || facts_[child].made) return Damage::kFork;
  if ((flags & ~kAllForkFlags) != 0 || pid < 0 || pid > INT32_MAX) return Damage::kFork;
  // A sibling of a root would be a child of the process that kills all when something fails.
  if ((flags & program::kForkSibling) != 0 && op.task == 0) return Damage::kFork;
  // The task that is made could not be waited for at the barriers.
  if (facts_[op.task].barrier != 0 || (op.flags & program::kOut) != 0) return Damage::kFork;
  facts_[child].made = true;
  facts_[child].table =
      (flags & program::kForkFiles) != 0 ? facts_[op.task].table : static_cast<uint32_t>(child);
  return Damage::kNone;
}

Damage Program::DecodeWait(const Op& op) const {
  const Op* other = Earlier(op.args[1]);
  if (other == nullptr || other->task != op.args[0] || other->task == op.task) return Damage::kWait;
  if ((other->flags & program::kPost) == 0 || (op.flags & program::kOut) != 0) return Damage::kWait;
  // At its barrier a task waits for all to be at theirs. So before its own it must not wait for what is
  // behind one.
  const uint32_t barrier = facts_[other->task].barrier;
  if (facts_[op.task].barrier == 0 && barrier != 0 && other->index >= barrier - 1) return Damage::kWait;
  return Damage::kNone;
}

Damage Program::DecodeSend(const Op& op) const {
  const auto& args = op.args;
  if (!OwnSlot(op, args[0]) || (op.flags & program::kOut) != 0) return Damage::kSlot;
  if (args[3] < 0 || args[4] < 0 || !InBlobs(args[1], args[2])) return Damage::kArgument;
  const int64_t rights = args[3] >> 32;
  const int64_t rights_at = args[3] & 0xffffffff;
  if (rights > kMostRights || !InBlobs(rights_at, rights * 4)) return Damage::kArgument;
  for (int64_t i = 0; i < rights; i++) {
    uint32_t slot = 0;
    memcpy(&slot, blobs_ + rights_at + i * 4, sizeof slot);
    if (!OwnSlot(op, slot)) return Damage::kSlot;
  }
  const int64_t address = args[4] >> 32;
  return address <= kLongestAddress && InBlobs(args[4] & 0xffffffff, address) ? Damage::kNone
                                                                              : Damage::kArgument;
}

Damage Program::DecodeBarrier(const Op& op) {
  if (facts_[op.task].barrier != 0) return Damage::kBarrier;
  facts_[op.task].barrier = op.index + 1;
  return Damage::kNone;
}

Damage Program::DecodeExec(const Op& op) {
  const Task& task = tasks_[op.task];
  const bool last = &op == &ops_[task.ops_first + task.ops_count - 1];
  if (op.task == 0 || !last || facts_[op.task].barrier == 0) return Damage::kEnd;
  for (int i = 0; i < 3; i++) {
    if (!InBlobs(op.args[i], 1)) return Damage::kArgument;
  }
  // A list of strings ends with an empty one.
  for (int i = 1; i < 3; i++) {
    const char* string = blobs_ + op.args[i];
    const char* end = blobs_ + header_->blobs_size;
    while (string < end && *string != '\0') string += strlen(string) + 1;
    if (string >= end) return Damage::kArgument;
  }
  facts_[op.task].executes = true;
  return Damage::kNone;
}

bool Program::InBlobs(int64_t offset, int64_t size) const {
  const auto all = static_cast<int64_t>(header_->blobs_size);
  return offset >= 0 && size >= 0 && offset <= all && size <= all - offset;
}

// A slot that an operation of the same task has filled before.
bool Program::OwnSlot(const Op& op, int64_t slot) const {
  return slot >= 0 && slot < header_->slot_count && slots_[slot].filled_by != 0 &&
         slots_[slot].task == op.task;
}

const Op* Program::Earlier(int64_t index) const {
  return index >= 0 && index < index_ ? &ops_[places_[index] - 1] : nullptr;
}

}  // namespace restore
