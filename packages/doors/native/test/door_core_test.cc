#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "door_name.h"
#include "info_page.h"

namespace {

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/doors-XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

// A file in memory that takes seals.
struct Memory {
  int file = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  Memory() { CHECK(file >= 0); }
  ~Memory() { close(file); }
};

std::string NewFile(const Folder& folder, const char* name) {
  std::string path = folder.path + "/" + name;
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(file >= 0);
  close(file);
  return path;
}

ino_t InodeOf(const std::string& path) {
  struct stat status {};
  CHECK(lstat(path.c_str(), &status) == 0);
  return status.st_ino;
}

std::atomic_ref<uint32_t> Word(void* page, size_t place) {
  return std::atomic_ref<uint32_t>(static_cast<uint32_t*>(page)[place]);
}

// To be read; atomic_ref of C++20 has no const one.
uint32_t Read(const void* page, size_t place) {
  return Word(const_cast<void*>(page), place).load();
}

void WhatIsWrittenIsReadByOthers() {
  Memory memory;
  int error = 1;
  void* page = doors::MakeInfoPage(memory.file, error);
  CHECK(page != nullptr && error == 0);
  const void* other = doors::MapInfoPage(memory.file, error);
  CHECK(other != nullptr && error == 0 && other != page);
  CHECK(Read(other, 0) == 0);
  Word(page, 0).store(0x01726f64);
  Word(page, doors::kInfoPageSize / sizeof(uint32_t) - 1).store(7);
  CHECK(Read(other, 0) == 0x01726f64);
  CHECK(Read(other, doors::kInfoPageSize / sizeof(uint32_t) - 1) == 7);
  doors::UnmapInfoPage(other);
  doors::UnmapInfoPage(page);
}

void NobodyElseWritesOrShrinksIt() {
  Memory memory;
  int error = 0;
  void* page = doors::MakeInfoPage(memory.file, error);
  CHECK(page != nullptr);
  CHECK(pwrite(memory.file, "x", 1, 0) == -1 && errno == EPERM);
  CHECK(ftruncate(memory.file, 0) == -1 && errno == EPERM);
  CHECK(ftruncate(memory.file, 2 * doors::kInfoPageSize) == -1 && errno == EPERM);
  CHECK(mmap(nullptr, doors::kInfoPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory.file, 0) ==
        MAP_FAILED);
  CHECK(errno == EPERM);
  CHECK(fcntl(memory.file, F_ADD_SEALS, F_SEAL_WRITE) == -1 && errno == EPERM);
  doors::UnmapInfoPage(page);
}

void WhatIsNoPageIsRefused() {
  int error = 0;
  Memory unsealed;
  CHECK(ftruncate(unsealed.file, doors::kInfoPageSize) == 0);
  CHECK(doors::MapInfoPage(unsealed.file, error) == nullptr && error == -EINVAL);
  Memory small;
  CHECK(ftruncate(small.file, doors::kInfoPageSize / 2) == 0);
  CHECK(fcntl(small.file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
  CHECK(doors::MapInfoPage(small.file, error) == nullptr && error == -EINVAL);
  Folder folder;
  const int file = open(NewFile(folder, "file").c_str(), O_RDWR | O_CLOEXEC);
  CHECK(doors::MapInfoPage(file, error) == nullptr && error == -EINVAL);
  CHECK(doors::MakeInfoPage(file, error) == nullptr && error == -EINVAL);
  close(file);
  CHECK(doors::MakeInfoPage(-1, error) == nullptr && error == -EBADF);
  CHECK(doors::MapInfoPage(-1, error) == nullptr && error == -EINVAL);
}

void AnotherThreadSeesAChange() {
  Memory memory;
  int error = 0;
  void* page = doors::MakeInfoPage(memory.file, error);
  const void* other = doors::MapInfoPage(memory.file, error);
  CHECK(page != nullptr && other != nullptr);
  std::vector<std::thread> readers;
  for (int count = 0; count < 4; count++) {
    readers.emplace_back([other] {
      while (Read(other, 1) != 1000) std::this_thread::yield();
    });
  }
  for (uint32_t value = 1; value <= 1000; value++) Word(page, 1).store(value);
  for (std::thread& reader : readers) reader.join();
  doors::UnmapInfoPage(other);
  doors::UnmapInfoPage(page);
}

void TwoPathsChangeTheirFiles() {
  Folder folder;
  const std::string one = NewFile(folder, "one");
  const std::string other = NewFile(folder, "other");
  const ino_t first = InodeOf(one);
  const ino_t second = InodeOf(other);
  CHECK(doors::Exchange(one.c_str(), other.c_str()) == 0);
  CHECK(InodeOf(one) == second && InodeOf(other) == first);
  const std::string missing = folder.path + "/missing";
  CHECK(doors::Exchange(one.c_str(), missing.c_str()) == -ENOENT);
  CHECK(InodeOf(one) == second);
}

void AFurtherNameIsOfTheSameFile() {
  Folder folder;
  const std::string path = NewFile(folder, "file");
  const std::string link = folder.path + "/link";
  const int file = open(path.c_str(), O_PATH | O_CLOEXEC);
  CHECK(file >= 0);
  CHECK(doors::Link(file, link.c_str()) == 0);
  CHECK(InodeOf(link) == InodeOf(path));
  struct stat status {};
  CHECK(fstat(file, &status) == 0 && status.st_nlink == 2);
  CHECK(doors::Link(file, link.c_str()) == -EEXIST);
  CHECK(unlink(path.c_str()) == 0 && unlink(link.c_str()) == 0);
  // Without a name it gets none again.
  CHECK(doors::Link(file, link.c_str()) == -ENOENT);
  close(file);
}

}  // namespace

int main() {
  WhatIsWrittenIsReadByOthers();
  NobodyElseWritesOrShrinksIt();
  WhatIsNoPageIsRefused();
  AnotherThreadSeesAChange();
  TwoPathsChangeTheirFiles();
  AFurtherNameIsOfTheSameFile();
  puts("door_core_test: ok");
  return 0;
}
