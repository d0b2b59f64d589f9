#include "ledger.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "connection.h"
#include "descriptor.h"
#include "hand_over.h"

namespace http1 {

namespace {

using Word = std::atomic<uint64_t>;
static_assert(sizeof(Word) == sizeof(uint64_t) && Word::is_always_lock_free, "two processes share it");

// As many as there can be connections. Of a memory file only the pages that were written to take memory.
constexpr size_t kWords = ConnectionTable::kCapacity;
constexpr size_t kBytes = kWords * sizeof(Word);
constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;

// The ledger of this process. It is mapped until the process ends: connections may write to it as long as
// they live.
class Ledger {
 public:
  static Ledger& Own() {
    // Never destroyed: threads may still write while the process exits.
    static auto* const own = new Ledger();
    return *own;
  }

  void Open(Word* words) {
    const std::lock_guard lock(mutex_);
    words_ = words;
    used_ = 0;
  }

  void Close() { Open(nullptr); }

  bool Join(int fd) {
    const std::lock_guard lock(mutex_);
    Connection* const connection = ConnectionTable::Shared().Find(fd);
    if (words_ == nullptr || used_ == kWords) return false;
    Word* const word = words_ + used_++;
    if (connection == nullptr) return false;
    connection->ledger = word;
    return true;
  }

 private:
  std::mutex mutex_;
  Word* words_ = nullptr;
  size_t used_ = 0;
};

}  // namespace

int OpenLedger(const int32_t* connections, size_t count) {
  Descriptor file(memfd_create("x-server ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file.valid() || ftruncate(file.get(), kBytes) != 0) return -errno;
  if (fcntl(file.get(), F_ADD_SEALS, kSeals) != 0) return -errno;
  void* const memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (memory == MAP_FAILED) return -errno;
  Ledger::Own().Open(static_cast<Word*>(memory));
  for (size_t i = 0; i < count; ++i) {
    if (Ledger::Own().Join(connections[i])) continue;
    Ledger::Own().Close();
    return -EBADF;
  }
  SetKeptElsewhere(true);
  return file.Release();
}

bool JoinLedger(int connection) {
  return Ledger::Own().Join(connection);
}

void CloseLedger() {
  Ledger::Own().Close();
  SetKeptElsewhere(false);
}

int TakeBack(int ledger, int32_t* connections, size_t count, int64_t idle) {
  const off_t size = lseek(ledger, 0, SEEK_END);
  if (size < 0) return -errno;
  // A file that could shrink would end this process when it looks (SIGBUS).
  const int seals = fcntl(ledger, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals || size != static_cast<off_t>(kBytes) || count > kWords) {
    return -EINVAL;
  }
  void* const memory = mmap(nullptr, kBytes, PROT_READ, MAP_SHARED, ledger, 0);
  if (memory == MAP_FAILED) return -errno;
  const auto* const words = static_cast<const Word*>(memory);
  const int64_t until = MonotonicMilliseconds() + idle;
  int kept = 0;
  for (size_t i = 0; i < count; ++i) {
    // Relaxed: who wrote it has ended, which was told by the kernel.
    if (Resume(connections[i], words[i].load(std::memory_order_relaxed), until)) {
      connections[kept++] = connections[i];
    } else {
      Release(connections[i]);
    }
  }
  munmap(memory, kBytes);
  return kept;
}

}  // namespace http1
