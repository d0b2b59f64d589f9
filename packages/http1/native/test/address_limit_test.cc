// What counts as one client address, and the bound on its connections, from one thread and from many.
#include "address_limit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>

#include <array>
#include <atomic>
#include <cstring>

#include "check.h"

namespace {

using http1::AddressLimit;
using http1::ClientAddress;
using Verdict = AddressLimit::Verdict;

ClientAddress IPv4(const char* text) {
  sockaddr_storage storage{};
  sockaddr_in address{};
  address.sin_family = AF_INET;
  CHECK(inet_pton(AF_INET, text, &address.sin_addr) == 1);
  std::memcpy(&storage, &address, sizeof address);
  return ClientAddress::Of(storage);
}

ClientAddress IPv6(const char* text) {
  sockaddr_storage storage{};
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  CHECK(inet_pton(AF_INET6, text, &address.sin6_addr) == 1);
  std::memcpy(&storage, &address, sizeof address);
  return ClientAddress::Of(storage);
}

void AddressesAreOneByTheirNetwork() {
  CHECK(IPv4("192.0.2.1") == IPv4("192.0.2.1"));
  CHECK(!(IPv4("192.0.2.1") == IPv4("192.0.2.2")));
  CHECK(IPv6("::ffff:192.0.2.1") == IPv4("192.0.2.1"));
  CHECK(IPv6("2001:db8:0:1::1") == IPv6("2001:db8:0:1:ffff::2"));
  CHECK(!(IPv6("2001:db8:0:1::1") == IPv6("2001:db8:0:2::1")));
  CHECK(!(IPv6("fe80::1") == IPv6("fe80::2")));
  CHECK(ClientAddress::Of({}).kind == ClientAddress::kNone);
}

void TheBoundHolds() {
  AddressLimit& limit = AddressLimit::Shared();
  const ClientAddress one = IPv4("192.0.2.1");
  const ClientAddress other = IPv4("192.0.2.2");
  CHECK(!AddressLimit::Bounds());
  AddressLimit::SetMost(2);
  CHECK(AddressLimit::Bounds());
  CHECK(limit.Enter(one) == Verdict::kServe && limit.Enter(one) == Verdict::kServe);
  CHECK(limit.Enter(one) == Verdict::kRefuse && limit.Enter(one) == Verdict::kRefuse);
  CHECK(limit.Enter(one) == Verdict::kDrop);
  CHECK(limit.Enter(other) == Verdict::kServe);
  // One that is being told so takes no room from those that are served.
  limit.Leave(one, false);
  CHECK(limit.Enter(one) == Verdict::kServe && limit.Enter(one) == Verdict::kDrop);
  limit.Leave(one, true);
  CHECK(limit.Enter(one) == Verdict::kRefuse);
  limit.Adopt(one);
  limit.Leave(one, false);
  limit.Leave(one, true);
  CHECK(limit.Enter(one) == Verdict::kRefuse);
  for (int i = 0; i < 2; ++i) limit.Leave(one, false);
  for (int i = 0; i < 2; ++i) limit.Leave(one, true);
  limit.Leave(other, false);
  // Nothing is left of it, and one that was never counted changes nothing.
  limit.Leave(one, false);
  CHECK(limit.Enter(one) == Verdict::kServe);
  limit.Leave(one, false);
  // Nobody's.
  for (int i = 0; i < 5; ++i) CHECK(limit.Enter({}) == Verdict::kServe);
}

constexpr int kThreads = 4;
constexpr int kClients = 1000;
std::atomic<int> served{0};
std::atomic<int> most_served{0};

// All threads come and go for the same clients; of one of them it is counted how many are served.
void* ComeAndGo(void* /*argument*/) {
  AddressLimit& limit = AddressLimit::Shared();
  for (int round = 0; round < 20; ++round) {
    for (uint32_t client = 0; client < kClients; ++client) {
      const ClientAddress address{client, ClientAddress::kIPv6};
      const Verdict verdict = limit.Enter(address);
      if (verdict == Verdict::kDrop) continue;
      if (client == 0 && verdict == Verdict::kServe) {
        const int now = served.fetch_add(1) + 1;
        if (now > most_served.load()) most_served.store(now);
        served.fetch_sub(1);
      }
      limit.Leave(address, verdict == Verdict::kRefuse);
    }
  }
  return nullptr;
}

void TheBoundHoldsAcrossThreads() {
  std::array<pthread_t, kThreads> threads{};
  for (pthread_t& thread : threads) CHECK(pthread_create(&thread, nullptr, ComeAndGo, nullptr) == 0);
  for (const pthread_t thread : threads) CHECK(pthread_join(thread, nullptr) == 0);
  CHECK(most_served.load() >= 1 && most_served.load() <= 2);
  for (uint32_t client = 0; client < kClients; ++client) {
    const ClientAddress address{client, ClientAddress::kIPv6};
    CHECK(AddressLimit::Shared().Enter(address) == Verdict::kServe);
    CHECK(AddressLimit::Shared().Enter(address) == Verdict::kServe);
    CHECK(AddressLimit::Shared().Enter(address) == Verdict::kRefuse);
  }
}

}  // namespace

int main() {
  AddressesAreOneByTheirNetwork();
  TheBoundHolds();
  TheBoundHoldsAcrossThreads();
  return 0;
}
