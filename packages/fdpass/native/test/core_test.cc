#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "address.h"
#include "check.h"
#include "descriptor_kind.h"
#include "identity.h"
#include "memory_file.h"
#include "message.h"
#include "owned_descriptors.h"
#include "unix_socket.h"

using fdpass::Descriptor;

namespace {

bool IsOpen(int descriptor) {
  return fcntl(descriptor, F_GETFD) >= 0;
}

struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/fdpass-XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() { std::filesystem::remove_all(path); }
};

std::string KindOf(int descriptor) {
  int error = 0;
  std::string kind = fdpass::KindOf(descriptor, error);
  CHECK(error == 0);
  return kind;
}

void OwnedDescriptorsCloseWhatIsLeft() {
  int kept[3];
  {
    fdpass::OwnedDescriptors owned;
    for (int& number : kept) {
      number = open("/dev/null", O_RDONLY | O_CLOEXEC);
      CHECK(owned.Add(number));
      CHECK(!owned.Add(number));
    }
    const int high = fcntl(kept[0], F_DUPFD_CLOEXEC, 900);
    CHECK(owned.Add(high) && owned.Has(high) && owned.count() == 4);
    CHECK(owned.Remove(kept[1]) && !owned.Remove(kept[1]) && !owned.Has(kept[1]));
    CHECK(!owned.Has(-1) && !owned.Remove(1 << 20));
  }
  CHECK(!IsOpen(kept[0]) && IsOpen(kept[1]) && !IsOpen(kept[2]) && !IsOpen(900));
  close(kept[1]);
}

void RunsOfNumbersAreClosedTogether() {
  std::vector<int> numbers;
  for (int i = 0; i < 10; ++i) numbers.push_back(open("/dev/null", O_RDONLY | O_CLOEXEC));
  const int stays = numbers[4];
  numbers.erase(numbers.begin() + 4);
  fdpass::CloseAll(numbers.data(), static_cast<int>(numbers.size()));
  for (const int number : numbers) CHECK(!IsOpen(number));
  CHECK(IsOpen(stays));
  close(stays);
}

fdpass::Outgoing OneByte(const int* descriptors, int count) {
  static char byte = 'x';
  fdpass::Outgoing message;
  message.parts[message.part_count++] = {&byte, 1};
  message.descriptors = descriptors;
  message.descriptor_count = count;
  return message;
}

void AMessageCarriesUpTo253(int type) {
  Descriptor ends[2];
  CHECK(fdpass::MakePair(type, ends[0], ends[1]) == 0);
  const Descriptor file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  std::vector<int> many(fdpass::kMaxRights, file.get());
  for (const int count : {0, 1, 2, 3, fdpass::kMaxRights}) {
    CHECK(fdpass::Send(ends[0].get(), OneByte(many.data(), count)) == 1);
    char into[16];
    fdpass::Incoming message;
    CHECK(fdpass::Receive(ends[1].get(), into, sizeof into, 0, false, message) == 1);
    CHECK(message.ancillary.count == count && message.flags == MSG_CMSG_CLOEXEC);
    for (int i = 0; i < count; ++i)
      CHECK((fcntl(message.ancillary.descriptors[i], F_GETFD) & FD_CLOEXEC) != 0);
    fdpass::CloseAll(message.ancillary.descriptors, count);
  }
  char into[16];
  fdpass::Incoming message;
  CHECK(fdpass::Receive(ends[1].get(), into, sizeof into, 0, false, message) == -EAGAIN);
  many[7] = -1;
  CHECK(fdpass::Send(ends[0].get(), OneByte(many.data(), 10)) == -EBADF);
  CHECK(fdpass::Receive(ends[1].get(), into, sizeof into, 0, false, message) == -EAGAIN);
}

void CredentialsComeBesideDescriptors() {
  Descriptor ends[2];
  CHECK(fdpass::MakePair(SOCK_SEQPACKET, ends[0], ends[1]) == 0);
  CHECK(fdpass::SetOption(ends[1].get(), SO_PASSCRED, 1) == 0);
  const fdpass::Credentials own{getpid(), getuid(), getgid()};
  const int file = ends[0].get();
  fdpass::Outgoing message = OneByte(&file, 1);
  message.credentials = &own;
  CHECK(fdpass::Send(ends[0].get(), message) == 1);
  char into[1];
  fdpass::Incoming came;
  CHECK(fdpass::Receive(ends[1].get(), into, 1, 0, false, came) == 1);
  CHECK(came.ancillary.has_credentials && came.ancillary.credentials.pid == getpid());
  CHECK(came.ancillary.count == 1 && KindOf(came.ancillary.descriptors[0]) == "unix-seqpacket");
  fdpass::CloseAll(came.ancillary.descriptors, 1);
  fdpass::Credentials peer{};
  CHECK(fdpass::PeerCredentials(ends[0].get(), peer) == 0 && peer.pid == getpid());
}

void ListenAndConnect(const std::string& name) {
  Descriptor listener;
  Descriptor client;
  Descriptor server;
  CHECK(fdpass::MakeSocket(SOCK_STREAM, listener) == 0);
  CHECK(fdpass::BindWithMode(listener.get(), name, 0600) == 0);
  CHECK(fdpass::Listen(listener.get(), 1) == 0);
  CHECK(fdpass::Accept(listener.get(), server) == -EAGAIN);
  CHECK(fdpass::MakeSocket(SOCK_STREAM, client) == 0);
  CHECK(fdpass::Connect(client.get(), name) == 0);
  CHECK(fdpass::Accept(listener.get(), server) == 0);
  fdpass::SocketStatus status;
  CHECK(fdpass::StatusOf(client.get(), status) == 0 && status.blocking && !status.listening);
  CHECK(fdpass::StatusOf(listener.get(), status) == 0 && !status.blocking && status.listening);
  Descriptor second;
  CHECK(fdpass::MakeSocket(SOCK_STREAM, second) == 0);
  CHECK(fdpass::BindWithMode(second.get(), name, 0600) == -EADDRINUSE);
}

void NamesOfAllLengths() {
  const Folder folder;
  ListenAndConnect(folder.path + "/short");
  struct stat status {};
  CHECK(stat((folder.path + "/short").c_str(), &status) == 0 && (status.st_mode & 0777) == 0600);
  const std::string deep = folder.path + "/" + std::string(200, 'd');
  CHECK(mkdir(deep.c_str(), 0700) == 0);
  ListenAndConnect(deep + "/socket");
  ListenAndConnect(deep + "/" + std::string(255, 's'));
  Descriptor socket;
  CHECK(fdpass::MakeSocket(SOCK_STREAM, socket) == 0);
  CHECK(fdpass::Bind(socket.get(), deep + "/" + std::string(256, 's')) == -ENAMETOOLONG);
  CHECK(fdpass::Connect(socket.get(), folder.path + "/nothing") == -ENOENT);
  CHECK(fdpass::Connect(socket.get(), "") == -EINVAL);
  CHECK(fdpass::Connect(socket.get(), std::string("a\0b", 3)) == -EINVAL);
}

void AbstractNames() {
  const std::string name = std::string("\0fdpass-test-", 13) + std::to_string(getpid());
  ListenAndConnect(name);
  ListenAndConnect(std::string(1, '\0') + std::string(107, 'n'));
  Descriptor socket;
  CHECK(fdpass::MakeSocket(SOCK_STREAM, socket) == 0);
  CHECK(fdpass::Bind(socket.get(), std::string(1, '\0') + std::string(108, 'n')) == -ENAMETOOLONG);
  CHECK(fdpass::Bind(socket.get(), name) == 0);
  std::string told;
  CHECK(fdpass::LocalName(socket.get(), told) == 0 && told == name);
}

void Kinds() {
  int pipe_ends[2];
  CHECK(pipe2(pipe_ends, O_CLOEXEC) == 0);
  const Descriptor reader(pipe_ends[0]);
  const Descriptor writer(pipe_ends[1]);
  CHECK(KindOf(reader.get()) == "pipe");
  const Descriptor file(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  CHECK(KindOf(file.get()) == "file");
  const Descriptor path(open("/", O_PATH | O_CLOEXEC));
  CHECK(KindOf(path.get()) == "path");
  const Descriptor directory(open("/", O_RDONLY | O_CLOEXEC));
  CHECK(KindOf(directory.get()) == "directory");
  const Descriptor null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  CHECK(KindOf(null.get()) == "character-device");
  int error = 0;
  CHECK(fdpass::KindOf(1 << 20, error).empty() && error == -EBADF);
}

void MemoryFilesAreSealed() {
  Descriptor file;
  CHECK(fdpass::MakeMemoryFile("test", file) == 0);
  CHECK(KindOf(file.get()) == "memfd");
  CHECK(write(file.get(), "abc", 3) == 3);
  CHECK(fdpass::AddSeals(file.get(), F_SEAL_WRITE | F_SEAL_SHRINK) == 0);
  CHECK((fdpass::Seals(file.get()) & (F_SEAL_WRITE | F_SEAL_SHRINK)) == (F_SEAL_WRITE | F_SEAL_SHRINK));
  CHECK(write(file.get(), "d", 1) < 0 && errno == EPERM);
  CHECK(fdpass::AddSeals(STDIN_FILENO, F_SEAL_WRITE) < 0);
}

void ProcessesHaveDescriptors() {
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    pause();
    _exit(0);
  }
  Descriptor pidfd;
  Descriptor duplicate;
  CHECK(fdpass::PidfdOpen(child, pidfd) == 0 && KindOf(pidfd.get()) == "pidfd");
  CHECK(fdpass::PidfdGetfd(pidfd.get(), 1 << 20, duplicate) == -EBADF);
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, nullptr, 0) == child);
  CHECK(fdpass::PidfdGetfd(pidfd.get(), 0, duplicate) == -ESRCH);
  CHECK(fdpass::PidfdOpen(-1, pidfd) == -EINVAL);
}

// Four threads send and receive over sockets of their own: nothing in the core is shared.
void ThreadsDoNotMeet() {
  std::vector<std::thread> threads;
  std::atomic<int> received{0};  // joined before it is read: relaxed is enough
  for (int n = 0; n < 4; ++n) {
    threads.emplace_back([&received] {
      Descriptor ends[2];
      CHECK(fdpass::MakePair(SOCK_SEQPACKET, ends[0], ends[1]) == 0);
      fdpass::OwnedDescriptors owned;
      const int file = ends[0].get();
      for (int i = 0; i < 500; ++i) {
        CHECK(fdpass::Send(ends[0].get(), OneByte(&file, 1)) == 1);
        char into[1];
        fdpass::Incoming message;
        CHECK(fdpass::Receive(ends[1].get(), into, 1, 0, false, message) == 1);
        CHECK(owned.Add(message.ancillary.descriptors[0]));
        if (i % 2 == 0) {
          CHECK(owned.Remove(message.ancillary.descriptors[0]));
          close(message.ancillary.descriptors[0]);
        }
        received.fetch_add(1, std::memory_order_relaxed);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(received.load(std::memory_order_relaxed) == 2000);
}

int CountOpen() {
  int count = 0;
  for (int number = 0; number < 4096; ++number) count += IsOpen(number) ? 1 : 0;
  return count;
}

}  // namespace

int main() {
  const int before = CountOpen();
  OwnedDescriptorsCloseWhatIsLeft();
  RunsOfNumbersAreClosedTogether();
  for (const int type : {SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM}) AMessageCarriesUpTo253(type);
  CredentialsComeBesideDescriptors();
  NamesOfAllLengths();
  AbstractNames();
  Kinds();
  MemoryFilesAreSealed();
  ProcessesHaveDescriptors();
  ThreadsDoNotMeet();
  CHECK(CountOpen() == before);
  puts("ok");
  return 0;
}
