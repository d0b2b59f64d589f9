#include "vigil.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "monotonic.h"

namespace doors {
namespace {

// Looks at the clock only so often.
constexpr int kLooks = 64;

void Pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Pairs with the exchange of PostTo.
bool IsPosted(const Post& post) {
  return post.waits.load(std::memory_order_acquire) == kPosted;
}

// From what this side has stored to another value; otherwise it was posted, or scribbled.
Vigil::End Change(Post& post, uint32_t from, uint32_t to) {
  // Pairs with the exchange of PostTo: it sees `to`, or this sees kPosted.
  if (post.waits.compare_exchange_strong(from, to, std::memory_order_seq_cst)) return Vigil::End::kWithdrawn;
  return from == kPosted ? Vigil::End::kPosted : Vigil::End::kBroken;
}

}  // namespace

void Vigil::Arm(Post& post) {
  spins_ = spin_.Wanted();
  armed_ = true;
  // Pairs with the exchange of PostTo, which comes after what this side posts itself next.
  post.waits.store(spins_ ? kSpins : kSleeps, std::memory_order_seq_cst);
}

void Vigil::ArmLater(Post& post) {
  spins_ = true;
  armed_ = true;
  post.waits.store(kSpins, std::memory_order_seq_cst);  // as in Arm
}

void Vigil::Disarm(Post& post) {
  armed_ = false;
  // As in Arm.
  post.waits.store(kSocket, std::memory_order_seq_cst);
}

bool Vigil::TryArm(Post& post) {
  spins_ = false;
  armed_ = Change(post, kSocket, kSleeps) == End::kWithdrawn;
  return armed_;
}

Vigil::End Vigil::Wait(Post& post, int64_t patience) {
  armed_ = false;
  if (IsPosted(post)) {
    if (spins_) spin_.Succeeded();
    return End::kPosted;
  }
  if (patience <= 0) return Change(post, spins_ ? kSpins : kSleeps, kSocket);
  const int64_t until = Now() + patience * kNanosecondsOfMicrosecond;
  if (spins_) {
    const End end = Spins(post, until);
    if (end != End::kWithdrawn) return end;
  }
  return Sleeps(post, until);
}

// Until it sleeps: kWithdrawn.
Vigil::End Vigil::Spins(Post& post, int64_t until) {
  const int64_t last = std::min(until, Now() + Spin::kMostMicroseconds * kNanosecondsOfMicrosecond);
  do {
    for (int look = 0; look < kLooks; ++look) {
      if (IsPosted(post)) {
        spin_.Succeeded();
        return End::kPosted;
      }
      Pause();
    }
  } while (Now() < last);
  spin_.Failed();
  return Change(post, kSpins, kSleeps);
}

Vigil::End Vigil::Sleeps(Post& post, int64_t until) {
  for (int64_t rest = until - Now(); rest > 0; rest = until - Now()) {
    const timespec time = TimespecOf(rest);
    // Returns at once when the word is not kSleeps any more.
    syscall(SYS_futex, &post.waits, FUTEX_WAIT, kSleeps, &time, nullptr, 0);
    const uint32_t waits = post.waits.load(std::memory_order_acquire);  // pairs with the exchange of PostTo
    if (waits == kPosted) return End::kPosted;
    if (waits != kSleeps) return End::kBroken;
  }
  return Change(post, kSleeps, kSocket);
}

}  // namespace doors
