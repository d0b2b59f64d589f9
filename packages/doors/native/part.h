// A call or a reply that is put together of its packets.
#ifndef X_DOORS_PART_H_
#define X_DOORS_PART_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "descriptor_list.h"
#include "packet.h"
#include "rights.h"

namespace doors {

class Part {
 public:
  // Its data is put into `into`, of packet.length bytes. Null: it is counted, and not kept.
  Part(const Packet& packet, char* into) : packet_(packet), into_(into) {}

  const Packet& packet() const { return packet_; }
  bool kept() const { return into_ != nullptr; }
  // Descriptors of it were lost on the way in.
  bool lost() const { return lost_; }
  bool whole() const { return filled_ == packet_.length && arrived_ == packet_.descriptors; }
  DescriptorList& descriptors() { return descriptors_; }

  // Where the data of its next packet belongs. Empty when it is not kept.
  iovec Tail() const;

  // Takes a packet, whose data is at `data`: there already, or to be copied. False when there is more in it
  // than was said.
  bool Add(const char* data, Arrival& arrival);

 private:
  Packet packet_;
  char* into_;
  uint64_t filled_ = 0;
  uint32_t arrived_ = 0;
  bool lost_ = false;
  DescriptorList descriptors_;
};

}  // namespace doors

#endif  // X_DOORS_PART_H_
