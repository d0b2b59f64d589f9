#include "info_page.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace doors {
namespace {

constexpr int kFixedSize = F_SEAL_SHRINK | F_SEAL_GROW;

#ifndef F_SEAL_FUTURE_WRITE
constexpr int F_SEAL_FUTURE_WRITE = 0x10;
#endif

void* Map(int file, int protection, int& error) {
  void* page = mmap(nullptr, kInfoPageSize, protection, MAP_SHARED, file, 0);
  error = page == MAP_FAILED ? -errno : 0;
  return page == MAP_FAILED ? nullptr : page;
}

}  // namespace

void* MakeInfoPage(int file, int& error) {
  if (ftruncate(file, kInfoPageSize) != 0) {
    error = -errno;
    return nullptr;
  }
  void* page = Map(file, PROT_READ | PROT_WRITE, error);
  if (page == nullptr) return nullptr;
  // From here on a mapping that can write is this one alone (fcntl(2), F_SEAL_FUTURE_WRITE; Linux 5.1).
  if (fcntl(file, F_ADD_SEALS, kFixedSize | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) == 0) return page;
  error = -errno;
  munmap(page, kInfoPageSize);
  return nullptr;
}

const void* MapInfoPage(int file, int& error) {
  struct statx status {};
  const int seals = fcntl(file, F_GET_SEALS);
  if (seals < 0 || (seals & kFixedSize) != kFixedSize ||
      statx(file, "", AT_EMPTY_PATH, STATX_SIZE, &status) != 0 || status.stx_size != kInfoPageSize) {
    error = -EINVAL;
    return nullptr;
  }
  return Map(file, PROT_READ, error);
}

void UnmapInfoPage(const void* page) {
  munmap(const_cast<void*>(page), kInfoPageSize);
}

}  // namespace doors
