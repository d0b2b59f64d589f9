// futex(2) on words that several processes map: none of the calls is private.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstdint>
#include <ctime>

namespace restore {

using Word = std::atomic<uint32_t>;
static_assert(Word::is_always_lock_free && sizeof(Word) == sizeof(uint32_t));

// Sleeps while the word is `seen`. It may return early: whoever calls looks at the word again.
inline void FutexWait(Word& word, uint32_t seen, const timespec* timeout = nullptr) {
  syscall(SYS_futex, &word, FUTEX_WAIT, seen, timeout, nullptr, 0);
}

inline void FutexWake(Word& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

// Sleeps until the word is at least `least`. What was written before it was raised is seen then.
inline void WaitForAtLeast(Word& word, uint32_t least) {
  for (;;) {
    // Pairs with the release of whoever raises it.
    const uint32_t seen = word.load(std::memory_order_acquire);
    if (seen >= least) return;
    FutexWait(word, seen);
  }
}

// Counts one more; the one that makes it `all` wakes who waits for that.
inline void CountTo(Word& word, uint32_t all) {
  // Release for what this process did, acquire so that the last one passes on what all did.
  if (word.fetch_add(1, std::memory_order_acq_rel) + 1 == all) FutexWake(word);
}

// Raises a word that was 0 to 1 and wakes all who wait for that.
inline void RaiseAndWake(Word& word) {
  word.store(1, std::memory_order_release);
  FutexWake(word);
}

}  // namespace restore
