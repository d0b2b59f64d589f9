// sendmsg(2) and recvmsg(2) of one packet, with its descriptors (SCM_RIGHTS). Neither ever blocks.
#ifndef X_DOORS_RIGHTS_H_
#define X_DOORS_RIGHTS_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "packet.h"

namespace doors {

// Where the data of a packet is put: in `tail` as far as that goes, the rest in `scratch`.
struct Landing {
  iovec tail{};
  char* scratch = nullptr;  // kMostPacket bytes

  // The first `size` bytes in one place, which is scratch when there is a tail that they do not belong to.
  char* Gather(size_t size) const;
};

// What came with a packet. Descriptors that nobody has claimed are closed with it.
class Arrival {
 public:
  Arrival() {}  // NOLINT: the first `count_` numbers are set
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;
  ~Arrival() { Close(); }

  size_t size = 0;    // of the data
  bool lost = false;  // descriptors, on the way in (MSG_CTRUNC); none is left then
  Packet packet;

  uint32_t count() const { return count_; }
  const int* descriptors() const { return descriptors_; }
  // How many of `missing` ones have come. Nobody knows how many were lost: as many as can have been there.
  uint32_t Came(uint32_t missing) const { return lost ? std::min(missing, kMostRights) : count_; }
  // There is nothing more of it than this packet.
  bool IsWhole() const { return size == packet.length && Came(packet.descriptors) == packet.descriptors; }
  // They are the caller's now.
  void Claim() { count_ = 0; }
  void Close();

 private:
  friend int Receive(int socket, const Landing& landing, Arrival& arrival);
  // One more than the kernel sends: the alignment of a control buffer leaves room for it.
  static constexpr uint32_t kRoom = kMostRights + 1;

  void Read(const char* control, size_t size);

  uint32_t count_ = 0;
  int descriptors_[kRoom];
};

// 0, or a negative errno: EAGAIN, EPROTO for what is no packet, EPIPE at the end.
int Receive(int socket, const Landing& landing, Arrival& arrival);

// A call, a reply or a bell on its way out, as far as it is not sent. It borrows all that it points to.
struct Message {
  Packet packet;
  const char* data = nullptr;
  size_t length = 0;
  const int* descriptors = nullptr;
  size_t count = 0;
  bool begun = false;  // its first packet is out
};

// Whether each is a descriptor.
bool AreDescriptors(const int* descriptors, size_t count);

// Sends the pieces that go at once. 0 when all are out; EAGAIN, with the rest left in `message`; or another
// negative errno.
int Send(int socket, Message& message);

}  // namespace doors

#endif  // X_DOORS_RIGHTS_H_
