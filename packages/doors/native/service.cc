#include "service.h"

#include <cerrno>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "area.h"
#include "info_page.h"
#include "rights.h"

namespace doors {
namespace {

// The first packet of a session that has asked for it. Without one the session goes on as any other.
std::unique_ptr<Area> SendArea(int socket) {
  Descriptor file;
  auto area = Area::Make(file);
  if (area == nullptr) return nullptr;
  const int descriptor = file.get();
  Message message{{Type::kArea, 0, 0, kAreaData, 1}, nullptr, 0, &descriptor, 1, false};
  return Send(socket, message) == 0 ? std::move(area) : nullptr;
}

int Close(const Shared<ServerSession>& session) {
  const int fate = session->Close();
  if (session->Spent()) Sessions().Remove(session->id());
  return fate;
}

void Close(const Shared<Door>& door) {
  door->Close();
  for (const auto& session : Sessions().All()) {
    if (session->door().get() == door.get()) Close(session);
  }
}

// Sessions of threads that have ended, until somebody asks for them.
struct Left {
  std::mutex mutex;
  std::map<int, std::vector<uint32_t>> by_thread;  // guarded by mutex
};

// Never destroyed, as what follows.
Left& LeftSessions() {
  static auto* left = new Left();
  return *left;
}

std::vector<uint32_t> AnswerFor(int thread) {
  std::vector<uint32_t> ids;
  for (const auto& session : Sessions().All()) {
    if (!session->ThreadGone(thread)) continue;
    if (session->Spent()) Sessions().Remove(session->id());
    ids.push_back(session->id());
  }
  return ids;
}

}  // namespace

// Never destroyed: threads may end after the process's statics.
Registry<Door>& Doors() {
  static auto* doors = new Registry<Door>();
  return *doors;
}

Registry<ServerSession>& Sessions() {
  static auto* sessions = new Registry<ServerSession>();
  return *sessions;
}

int OpenDoor(int page, std::string source, const void* owner) {
  int error = 0;
  const void* mapped = MapInfoPage(page, error);
  if (mapped == nullptr) return error;
  const auto door =
      Doors().Add([&](uint32_t number) { return new Door(number, mapped, std::move(source), owner); });
  return static_cast<int>(door->number());
}

int CloseDoor(uint32_t number) {
  const auto door = Doors().Remove(number);
  if (!door) return -EBADF;
  Close(door);
  return 0;
}

void CloseDoorsOf(const void* owner) {
  for (const auto& door : Doors().All()) {
    if (door->owner() == owner) CloseDoor(door->number());
  }
}

std::vector<uint32_t> SessionsOf(uint32_t door) {
  std::vector<uint32_t> ids;
  for (const auto& session : Sessions().All()) {
    if (session->door()->number() == door && session->Descriptor() >= 0) ids.push_back(session->id());
  }
  return ids;
}

int OpenSession(Descriptor socket, uint32_t door_number, uint32_t flags) {
  if (!socket.valid()) return -EBADF;
  const bool known = (flags & ~(kSequential | kWithArea)) == 0;
  if (!known || flags == kWithArea) return -EINVAL;
  const auto door = Doors().Find(door_number);
  if (!door) return -EBADF;
  const int error = PrepareSocket(socket.get());
  if (error != 0) return error;
  std::unique_ptr<Area> area = (flags & kWithArea) != 0 ? SendArea(socket.get()) : nullptr;
  Shared<Channel> channel(new Channel(std::move(socket), std::move(area)));
  const auto session =
      Sessions().Add([&](uint32_t id) { return new ServerSession(id, std::move(channel), door, flags); });
  // One that is closed now may have looked for its sessions before.
  if (!door->closed()) return static_cast<int>(session->id());
  Close(session);
  return -EBADF;
}

int Reply(uint32_t id, uint32_t sequence, const Answer& answer, bool lingers) {
  const auto session = Sessions().Find(id);
  if (!session) return kGone;
  const int fate = session->Reply(sequence, answer, lingers);
  if (fate > 0 && (fate & kGone) != 0 && session->Spent()) Sessions().Remove(id);
  return fate;
}

int CloseSession(uint32_t id) {
  const auto session = Sessions().Find(id);
  return session ? Close(session) : kGone;
}

void ThreadEnds(int thread) {
  std::vector<uint32_t> ids = AnswerFor(thread);
  if (ids.empty()) return;
  Left& left = LeftSessions();
  const std::lock_guard<std::mutex> lock(left.mutex);
  left.by_thread[thread] = std::move(ids);
}

std::vector<uint32_t> ThreadGone(int thread) {
  std::vector<uint32_t> ids = AnswerFor(thread);
  Left& left = LeftSessions();
  const std::lock_guard<std::mutex> lock(left.mutex);
  const auto found = left.by_thread.find(thread);
  if (found == left.by_thread.end()) return ids;
  ids.insert(ids.end(), found->second.begin(), found->second.end());
  left.by_thread.erase(found);
  return ids;
}

}  // namespace doors
