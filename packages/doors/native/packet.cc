#include "packet.h"

#include <cstring>

namespace doors {
namespace {

struct Header {
  uint32_t magic, type, sequence;
  int32_t status;
  uint64_t length;
  uint32_t descriptors, zero;
};
static_assert(sizeof(Header) == kHeaderSize);
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packets and areas are little endian");

constexpr uint64_t kLengthEnd = uint64_t{1} << 53;

}  // namespace

void EncodePacket(const Packet& packet, char* header) {
  const Header fields{kMagic,
                      static_cast<uint32_t>(packet.type),
                      packet.sequence,
                      packet.status,
                      packet.length,
                      packet.descriptors,
                      0};
  memcpy(header, &fields, sizeof fields);
}

bool DecodePacket(const char* header, Packet& packet) {
  Header fields;
  memcpy(&fields, header, sizeof fields);
  if (fields.magic != kMagic || fields.zero != 0 || fields.length >= kLengthEnd) return false;
  if (fields.type < static_cast<uint32_t>(Type::kHello) || fields.type > static_cast<uint32_t>(Type::kArea)) {
    return false;
  }
  packet = {static_cast<Type>(fields.type), fields.sequence, fields.status, fields.length,
            fields.descriptors};
  return true;
}

}  // namespace doors
