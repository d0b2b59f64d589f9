#include "area.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "packet.h"

namespace doors {
namespace {

constexpr size_t kAreaSize = kAreaHeader + kAreaData;
constexpr int kFixedSize = F_SEAL_SHRINK | F_SEAL_GROW;

#ifndef MFD_NOEXEC_SEAL
constexpr unsigned MFD_NOEXEC_SEAL = 0x8U;  // Linux 6.3
#endif

int MakeFile() {
  const int file = memfd_create("door-area", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (file >= 0 || errno != EINVAL) return file;
  return memfd_create("door-area", MFD_CLOEXEC | MFD_ALLOW_SEALING);
}

// Null where there is no room.
void* MapFile(int file) {
  void* memory = mmap(nullptr, kAreaSize, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

}  // namespace

std::unique_ptr<Area> Area::Make(Descriptor& file) {
  file = Descriptor(MakeFile());
  if (!file.valid() || ftruncate(file.get(), kAreaSize) != 0 ||
      fcntl(file.get(), F_ADD_SEALS, kFixedSize | F_SEAL_SEAL) != 0) {
    return nullptr;
  }
  void* memory = MapFile(file.get());
  if (memory == nullptr) return nullptr;
  auto area = std::make_unique<Area>(memory);
  area->layout()->magic = kMagic;
  area->layout()->data_size = kAreaData;
  return area;
}

std::unique_ptr<Area> Area::Map(int file) {
  struct statx status {};
  // The seals first: what has them keeps the size that is looked at then.
  const int seals = fcntl(file, F_GET_SEALS);
  if (seals < 0 || (seals & kFixedSize) != kFixedSize ||
      statx(file, "", AT_EMPTY_PATH, STATX_SIZE, &status) != 0 || status.stx_size != kAreaSize) {
    return nullptr;
  }
  void* memory = MapFile(file);
  if (memory == nullptr) return nullptr;
  auto area = std::make_unique<Area>(memory);
  const AreaLayout* layout = area->layout();
  if (layout->magic != kMagic || layout->data_size != kAreaData) return nullptr;
  return area;
}

Area::~Area() {
  munmap(memory_, kAreaSize);
}

Posted ReadPost(const Post& post) {
  return {post.how.load(std::memory_order_relaxed), post.sequence.load(std::memory_order_relaxed),
          post.status.load(std::memory_order_relaxed), post.length.load(std::memory_order_relaxed)};
}

int PostTo(Post& post, const Posted& what) {
  post.how.store(what.how, std::memory_order_relaxed);
  post.sequence.store(what.sequence, std::memory_order_relaxed);
  post.status.store(what.status, std::memory_order_relaxed);
  post.length.store(what.length, std::memory_order_relaxed);
  // Pairs with the loads and exchanges of Vigil: who sees kPosted sees all that was written before.
  const uint32_t old = post.waits.exchange(kPosted, std::memory_order_seq_cst);
  if (old == kSleeps) syscall(SYS_futex, &post.waits, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  if (old >= kPosted) return -EPROTO;
  return old == kSocket ? 1 : 0;
}

}  // namespace doors
