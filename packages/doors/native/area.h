// The memory that a client and a server share in a session: docs/protocol.md has its layout. Neither side
// believes what the other has written.
#ifndef X_DOORS_AREA_H_
#define X_DOORS_AREA_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "descriptor.h"
#include "packet.h"

namespace doors {

constexpr size_t kAreaHeader = 4096;
constexpr size_t kAreaData = size_t{1} << 20;
// Room of a thread for data that is not in memory of its own: of a packet, or of an area.
constexpr size_t kScratch = kAreaData;
static_assert(kScratch >= kMostPacket);

// What somebody does who waits for a post.
enum Waits : uint32_t {
  kSocket = 0,  // does not look here: a packet rings for it
  kSpins = 1,
  kSleeps = 2,  // in futex(2), on this word
  kPosted = 3,  // there is something for it
};

enum How : uint32_t { kHere = 0, kBySocket = 1 };

// One direction. All but `waits` is written before the exchange that posts it, and read after that was seen.
struct alignas(64) Post {
  std::atomic<uint32_t> waits;
  std::atomic<uint32_t> how;
  std::atomic<uint32_t> sequence;
  std::atomic<int32_t> status;
  std::atomic<uint64_t> length;
};

struct AreaLayout {
  uint32_t magic;
  uint32_t data_size;
  Post request;  // at 64
  Post reply;    // at 128
};
static_assert(offsetof(AreaLayout, request) == 64 && offsetof(AreaLayout, reply) == 128);
static_assert(offsetof(Post, length) == 16 && std::atomic<uint64_t>::is_always_lock_free);

class Area {
 public:
  // A new one, with the file to be sent. Null where there is no memory, or a kernel without seals.
  static std::unique_ptr<Area> Make(Descriptor& file);
  // Another process's. Null for a file that could be shrunk, or has another size.
  static std::unique_ptr<Area> Map(int file);

  explicit Area(void* memory) : memory_(static_cast<char*>(memory)) {}
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;
  ~Area();

  Post& request() const { return layout()->request; }
  Post& reply() const { return layout()->reply; }
  char* data() const { return memory_ + kAreaHeader; }

 private:
  AreaLayout* layout() const { return reinterpret_cast<AreaLayout*>(memory_); }

  char* memory_;
};

// What a post says, each field read once.
struct Posted {
  uint32_t how;
  uint32_t sequence;
  int32_t status;
  uint64_t length;
};
Posted ReadPost(const Post& post);

// Posts. 1 when a packet has to ring, 0 when the other side is awake; EPROTO when it was not ready for a
// post.
int PostTo(Post& post, const Posted& what);

}  // namespace doors

#endif  // X_DOORS_AREA_H_
