// Packets of a session: docs/protocol.md has the format.
#ifndef X_DOORS_PACKET_H_
#define X_DOORS_PACKET_H_

#include <cstddef>
#include <cstdint>

namespace doors {

constexpr uint32_t kMagic = 0x01726f64;
constexpr size_t kHeaderSize = 32;
// The most bytes of data of a packet: that is sent, and that is taken.
constexpr size_t kPiece = size_t{64} * 1024;
constexpr size_t kMostPacket = 2 * kPiece;
// The most descriptors that one sendmsg(2) takes, and that a call or a reply has.
constexpr uint32_t kMostRights = 253;
constexpr uint32_t kMostDescriptors = 1024;
// The most bytes of a call or a reply that are kept, and of all calls of a session that are not whole.
constexpr uint64_t kMostBytes = uint64_t{256} << 20;
// The most calls of a session that are begun, run, or have a reply that is not out yet.
constexpr uint32_t kMostCalls = 64;

enum class Type : uint32_t { kHello = 1, kSession, kCall, kMore, kReply, kCancel, kArea };

// Of a call or a reply: its data, or its status, length and data, are in the area.
constexpr int32_t kInArea = 1;

struct Packet {
  Type type = Type::kCall;
  uint32_t sequence = 0;
  int32_t status = 0;
  uint64_t length = 0;
  uint32_t descriptors = 0;
};

void EncodePacket(const Packet& packet, char* header);

// Of the first kHeaderSize bytes. False for what is no packet.
bool DecodePacket(const char* header, Packet& packet);

}  // namespace doors

#endif  // X_DOORS_PACKET_H_
