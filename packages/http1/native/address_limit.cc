#include "address_limit.h"

#include <netinet/in.h>
#include <sys/random.h>

#include <atomic>
#include <cstring>
#include <new>
#include <utility>

namespace http1 {

namespace {

// Relaxed: it is set before the first connection comes.
std::atomic<uint32_t> bound{0};

// Nobody can choose addresses that all fall on one place of the table without knowing it.
uint64_t MakeSeed() {
  uint64_t seed = 0;
  // What it is without random bytes, early after boot, is no worse than a constant.
  static_cast<void>(getrandom(&seed, sizeof seed, GRND_NONBLOCK));
  return seed;
}

// The finaliser of SplitMix64: every bit of the input changes half of the output.
uint64_t Mix(uint64_t value) {
  value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
  value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
  return value ^ (value >> 31U);
}

uint64_t Word(const unsigned char* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

}  // namespace

ClientAddress ClientAddress::Of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof v4);
    return {v4.sin_addr.s_addr, kIPv4};
  }
  if (address.ss_family != AF_INET6) return {};
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address, sizeof v6);
  const unsigned char* const bytes = v6.sin6_addr.s6_addr;
  if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
    uint32_t embedded = 0;
    std::memcpy(&embedded, bytes + 12, sizeof embedded);
    return {embedded, kIPv4};
  }
  // All hosts of a link have the same first half there.
  if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr)) return {Word(bytes + 8), kLinkLocal};
  return {Word(bytes), kIPv6};
}

ClientAddress ClientAddress::OfPeer(int fd) {
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return {};
  return Of(peer);
}

void AddressLimit::SetMost(uint32_t most) {
  bound.store(most, std::memory_order_relaxed);
}

bool AddressLimit::Bounds() {
  return bound.load(std::memory_order_relaxed) != 0;
}

AddressLimit& AddressLimit::Shared() {
  // Never destroyed, as the connections that are counted in it.
  static auto* const limit = new AddressLimit();
  return *limit;
}

AddressLimit::Place AddressLimit::PlaceOf(const ClientAddress& address) {
  static const uint64_t seed = MakeSeed();
  const uint64_t hash = Mix(Mix(address.bits ^ seed) + address.kind);
  Part& part = parts_[hash % kParts];
  return {part, part.places[hash / kParts % kPlaces]};
}

AddressLimit::Client* AddressLimit::FindOrMake(std::unique_ptr<Client>& first, const ClientAddress& address) {
  for (Client* client = first.get(); client != nullptr; client = client->next.get()) {
    if (client->address == address) return client;
  }
  std::unique_ptr<Client> fresh(new (std::nothrow) Client());
  if (fresh == nullptr) return nullptr;
  fresh->address = address;
  fresh->next = std::move(first);
  first = std::move(fresh);
  return first.get();
}

AddressLimit::Verdict AddressLimit::Enter(const ClientAddress& address) {
  if (address.kind == ClientAddress::kNone) return Verdict::kServe;
  const uint32_t most = bound.load(std::memory_order_relaxed);
  const Place place = PlaceOf(address);
  const std::lock_guard<std::mutex> lock(place.part.mutex);
  Client* const client = FindOrMake(place.first, address);
  if (client == nullptr) return Verdict::kDrop;
  if (client->served < most) {
    ++client->served;
    return Verdict::kServe;
  }
  if (client->refused >= most) return Verdict::kDrop;
  ++client->refused;
  return Verdict::kRefuse;
}

void AddressLimit::Adopt(const ClientAddress& address) {
  if (address.kind == ClientAddress::kNone) return;
  const Place place = PlaceOf(address);
  const std::lock_guard<std::mutex> lock(place.part.mutex);
  Client* const client = FindOrMake(place.first, address);
  if (client != nullptr) ++client->served;
}

void AddressLimit::Leave(const ClientAddress& address, bool refused) {
  if (address.kind == ClientAddress::kNone) return;
  const Place place = PlaceOf(address);
  const std::lock_guard<std::mutex> lock(place.part.mutex);
  for (std::unique_ptr<Client>* at = &place.first; *at != nullptr; at = &(*at)->next) {
    Client& client = **at;
    if (!(client.address == address)) continue;
    uint32_t& count = refused ? client.refused : client.served;
    // None was counted where there was no memory to.
    if (count > 0) --count;
    if (client.served == 0 && client.refused == 0) *at = std::move(client.next);
    return;
  }
}

}  // namespace http1
