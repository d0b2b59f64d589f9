#pragma once

#include <sys/socket.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

namespace http1 {

// What connections of one client have in common: an IPv4 address, or the /64 of an IPv6 one, which is what
// one customer is given at least. An IPv4 address that is written as IPv6 is the IPv4 address.
struct ClientAddress {
  enum Kind : uint8_t { kNone, kIPv4, kIPv6, kLinkLocal };

  uint64_t bits = 0;
  Kind kind = kNone;

  bool operator==(const ClientAddress& other) const { return bits == other.bits && kind == other.kind; }
  // kNone for a socket of another family.
  static ClientAddress Of(const sockaddr_storage& address);
  // The one at the other end of a socket.
  static ClientAddress OfPeer(int fd);
};

// Bounds the connections of each client address, over all threads of the process. Every operation is one look
// into a hash table under the lock of its part; nobody waits while he has that.
class AddressLimit {
 public:
  enum class Verdict : uint8_t {
    kServe,
    kRefuse,  // too many: to be told so, for which it may stay open a little longer
    kDrop,    // and as many are being told so already
  };

  // 0: no bound, and nothing is counted. To be set before the first connection comes.
  static void SetMost(uint32_t most);
  static bool Bounds();

  // One more connection; it is counted unless it is to be dropped.
  Verdict Enter(const ClientAddress& address);
  // One more that is served whatever the bound is: of another process.
  void Adopt(const ClientAddress& address);
  // One that was counted has ended. `refused`: the verdict was kRefuse.
  void Leave(const ClientAddress& address, bool refused);

  // The one of this process; made when it is first asked for.
  static AddressLimit& Shared();

 private:
  static constexpr size_t kParts = 64;
  static constexpr size_t kPlaces = 1024;  // of a part; clients that share one are in a list

  struct Client {
    ClientAddress address;
    uint32_t served = 0;
    uint32_t refused = 0;
    std::unique_ptr<Client> next;
  };
  struct Part {
    std::mutex mutex;
    std::array<std::unique_ptr<Client>, kPlaces> places;
  };
  struct Place {
    Part& part;
    std::unique_ptr<Client>& first;
  };

  Place PlaceOf(const ClientAddress& address);
  // Under the lock of the part. A new one has no connections; nullptr when there is no memory.
  static Client* FindOrMake(std::unique_ptr<Client>& first, const ClientAddress& address);

  std::array<Part, kParts> parts_;
};

}  // namespace http1
