#include "door.h"

#include <cerrno>

#include "info_page.h"
#include "packet.h"

namespace doors {
namespace {

constexpr uint32_t kRevoked = 0x08;
constexpr uint32_t kRefuseDescriptors = 0x40;

// Places in the page: docs/protocol.md.
constexpr size_t kAttributes = 4;
constexpr size_t kDescMax = 12;
constexpr size_t kDataMin = 24;
constexpr size_t kDataMax = 32;

}  // namespace

Door::~Door() {
  UnmapInfoPage(page_);
}

template <typename T>
T Door::Field(size_t offset) const {
  // Pairs with the stores of the owner (Atomics.store of info-page.ts).
  return __atomic_load_n(reinterpret_cast<const T*>(page_ + offset), __ATOMIC_SEQ_CST);
}

bool Door::Revoked() const {
  return closed() || (Field<uint32_t>(kAttributes) & kRevoked) != 0;
}

int Door::Refusal(uint64_t length, uint32_t descriptors) const {
  if (Revoked()) return -EBADF;
  if (length < Field<uint64_t>(kDataMin) || length > Field<uint64_t>(kDataMax)) return -ENOBUFS;
  if (descriptors > 0 && (Field<uint32_t>(kAttributes) & kRefuseDescriptors) != 0) return -ENOTSUP;
  if (descriptors > Field<uint32_t>(kDescMax)) return -ENFILE;
  return length > kMostBytes || descriptors > kMostDescriptors ? -E2BIG : 0;
}

bool Door::Enter() {
  // Pairs with the store of DOOR_REVOKED (or closed_) before Want: either this call is seen to run, or it
  // sees that and does not.
  running_.fetch_add(1, std::memory_order_seq_cst);
  return !Revoked();
}

bool Door::Leave() {
  // Pairs with Want: it sees 0, or this sees that it is wanted.
  const bool last = running_.fetch_sub(1, std::memory_order_seq_cst) == 1;
  return last && want_.load(std::memory_order_seq_cst);
}

uint32_t Door::Want(bool want) {
  want_.store(want, std::memory_order_seq_cst);  // pairs with Leave
  return running();
}

}  // namespace doors
