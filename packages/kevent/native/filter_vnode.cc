#include "filter_vnode.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/inotify.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>

#include "epoll_tag.h"

namespace kevent {
namespace {

constexpr uint32_t kEntries = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

// The name by which inotify takes a descriptor; it leads to the file itself, unlinked or not.
struct DescriptorPath {
  explicit DescriptorPath(int descriptor, const char* below = "") {
    static_cast<void>(snprintf(text, sizeof(text), "/proc/self/fd/%d%s", descriptor, below));
  }
  char text[40];
};

// ENOENT would say that there is no such knote; what is missing is /proc.
int WatchError() {
  return errno == ENOENT ? ENXIO : errno;
}

uint32_t InterestOf(uint32_t fflags, bool directory) {
  uint32_t interest = 0;
  if ((fflags & (NOTE_WRITE | NOTE_EXTEND)) != 0) interest |= directory ? kEntries : IN_MODIFY;
  if ((fflags & NOTE_LINK) != 0) interest |= IN_ATTRIB | (directory ? kEntries : 0);
  if ((fflags & (NOTE_ATTRIB | NOTE_DELETE)) != 0) interest |= IN_ATTRIB;
  if ((fflags & NOTE_RENAME) != 0) interest |= IN_MOVE_SELF;
  if ((fflags & NOTE_OPEN) != 0) interest |= IN_OPEN;
  if ((fflags & NOTE_CLOSE) != 0) interest |= IN_CLOSE_NOWRITE;
  if ((fflags & NOTE_CLOSE_WRITE) != 0) interest |= IN_CLOSE_WRITE;
  if ((fflags & NOTE_READ) != 0) interest |= IN_ACCESS;
  return interest;
}

bool IsWatchable(mode_t mode) {
  return S_ISREG(mode) || S_ISDIR(mode) || S_ISCHR(mode) || S_ISBLK(mode) || S_ISLNK(mode);
}

}  // namespace

int VnodeFilter::Open() {
  if (inotify_.valid()) return 0;
  Descriptor inotify(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!inotify.valid()) return errno;
  epoll_event registration{EPOLLIN | EPOLLET, {.u64 = kVnodeTag}};
  if (epoll_ctl(epoll_, EPOLL_CTL_ADD, inotify.get(), &registration) < 0) return errno;
  inotify_ = std::move(inotify);
  return 0;
}

int VnodeFilter::Attach(Knote* knote, Slot slot) {
  File file;
  file.generation = knote->generation();
  file.descriptor = static_cast<int>(knote->ident);
  if (!ReadStatus(file.descriptor, &file.seen)) return errno;
  const bool reading = knote->filter() == EVFILT_READ;
  if (reading ? !S_ISREG(file.seen.stx_mode) : !IsWatchable(file.seen.stx_mode))
    return reading ? EPERM : EINVAL;
  std::lock_guard<std::mutex> guard(mutex_);
  if (const int error = Open(); error != 0) return error;
  if (const int error = Watch(slot, &file, knote->fflags, reading); error != 0) return error;
  files_[slot] = file;
  return 0;
}

int VnodeFilter::Watch(Slot slot, File* file, uint32_t fflags, bool reading) {
  const bool directory = S_ISDIR(file->seen.stx_mode);
  file->interest = reading ? uint32_t{IN_MODIFY} : InterestOf(fflags, directory);
  // A directory has to follow its own moves, or it would look for its end in the wrong parent.
  const bool parent = directory && (fflags & NOTE_DELETE) != 0;
  if (parent) file->interest |= IN_MOVE_SELF;
  if (!parent) Leave(slot, &file->parent_watch);
  if (file->interest == 0) {
    Leave(slot, &file->watch);
    return 0;
  }
  const int watch =
      inotify_add_watch(inotify_.get(), DescriptorPath(file->descriptor).text, file->interest | IN_MASK_ADD);
  if (watch < 0) return WatchError();
  // A watch that is there already is the same one, and only sees more. Another one is of another file, to
  // which the number was given.
  if (file->watch != watch) {
    Leave(slot, &file->watch);
    watches_[watch].push_back(slot);
  }
  file->watch = watch;
  if (parent) WatchParent(slot, file);
  return 0;
}

// rmdir(2) tells the parent alone while the directory is held open. Without a right to read the parent that
// end goes unseen.
void VnodeFilter::WatchParent(Slot slot, File* file) {
  Leave(slot, &file->parent_watch);
  file->parent_watch = inotify_add_watch(inotify_.get(), DescriptorPath(file->descriptor, "/..").text,
                                         IN_DELETE | IN_MOVED_TO | IN_ONLYDIR | IN_MASK_ADD);
  if (file->parent_watch >= 0) watches_[file->parent_watch].push_back(slot);
}

void VnodeFilter::Leave(Slot slot, int* watch) {
  const auto found = watches_.find(*watch);
  *watch = -1;
  if (found == watches_.end()) return;
  auto& sharers = found->second;
  sharers.erase(std::find(sharers.begin(), sharers.end(), slot));
  if (!sharers.empty()) return;  // what only this knote had asked for is told on, and passed over
  inotify_rm_watch(inotify_.get(), found->first);  // fails only when its file is gone
  watches_.erase(found);
}

void VnodeFilter::Detach(const Knote& /*knote*/, Slot slot) {
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = files_.find(slot);
  if (found == files_.end()) return;
  Leave(slot, &found->second.parent_watch);
  Leave(slot, &found->second.watch);
  files_.erase(found);
}

int VnodeFilter::Readjust(const Knote& knote, Slot slot) {
  std::lock_guard<std::mutex> guard(mutex_);
  return Watch(slot, &files_[slot], knote.fflags, knote.filter() == EVFILT_READ);
}

bool VnodeFilter::IsGone(const Knote& knote, Slot slot) {
  FileStatus now{};
  if (!ReadStatus(static_cast<int>(knote.ident), &now)) return true;
  std::lock_guard<std::mutex> guard(mutex_);
  const auto found = files_.find(slot);
  return found == files_.end() || !SameFile(found->second.seen, now);
}

Verdict VnodeFilter::Evaluate(Knote* knote, Slot slot, Level* level) {
  if (IsGone(*knote, slot)) return Verdict::kGone;
  if (knote->filter() == EVFILT_VNODE) {
    level->fflags = knote->pending;
    level->data = 0;
    return knote->pending != 0 ? Verdict::kDue : Verdict::kNothing;
  }
  const auto descriptor = static_cast<int>(knote->ident);
  FileStatus now{};
  const off_t offset = lseek(descriptor, 0, SEEK_CUR);
  if (offset < 0 || !ReadStatus(descriptor, &now)) return Verdict::kGone;
  level->data = static_cast<int64_t>(now.stx_size) - offset;
  const bool always = (knote->fflags & NOTE_FILE_POLL) != 0;
  return always || level->data != 0 ? Verdict::kDue : Verdict::kNothing;
}

bool VnodeFilter::Note(Knote* knote, int64_t what) {
  if (knote->filter() == EVFILT_READ) return true;
  knote->pending |= what & knote->fflags;
  return knote->pending != 0;
}

void VnodeFilter::Collect(std::vector<Occurrence>* found) {
  std::lock_guard<std::mutex> guard(mutex_);
  if (!inotify_.valid()) return;
  Reading reading;
  alignas(inotify_event) std::array<char, 16384> buffer;
  for (;;) {
    const ssize_t got = read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) break;  // EAGAIN: read to the end, as an edge asks for
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      Read(*event, &reading);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
    }
  }
  for (const Move& move : reading.moves) {
    for (const Slot slot : watches_[move.watch]) {
      if (files_[slot].watch != move.watch) continue;
      reading.news[slot].notes |= NOTE_WRITE | NOTE_EXTEND;
      if (move.directory) reading.news[slot].moved_directory = true;
    }
  }
  for (const auto& [slot, news] : reading.news) {
    const auto file = files_.find(slot);
    if (file == files_.end()) continue;
    const uint32_t notes = Compare(&file->second, news);
    found->push_back({slot, file->second.generation, notes});
  }
}

void VnodeFilter::Read(const inotify_event& event, Reading* reading) {
  if ((event.mask & IN_Q_OVERFLOW) != 0) return TellAll(reading);
  const auto found = watches_.find(event.wd);
  if (found == watches_.end()) return;
  if (event.len > 0) return ReadEntry(event, reading);
  constexpr std::array<std::pair<uint32_t, uint32_t>, 6> kOwn = {{{IN_MODIFY, NOTE_WRITE},
                                                                  {IN_MOVE_SELF, NOTE_RENAME},
                                                                  {IN_OPEN, NOTE_OPEN},
                                                                  {IN_CLOSE_NOWRITE, NOTE_CLOSE},
                                                                  {IN_CLOSE_WRITE, NOTE_CLOSE_WRITE},
                                                                  {IN_ACCESS, NOTE_READ}}};
  for (const Slot slot : found->second) {
    File& file = files_[slot];
    if (file.watch != event.wd) continue;
    News& news = reading->news[slot];
    for (const auto& [bit, note] : kOwn) {
      if ((event.mask & bit) != 0) news.notes |= note;
    }
    if ((event.mask & (IN_ATTRIB | IN_DELETE_SELF)) != 0) news.attributes = true;
  }
  if ((event.mask & IN_MOVE_SELF) == 0) return;
  for (auto& [slot, file] : files_) {
    if (file.watch == event.wd && file.parent_watch >= 0) WatchParent(slot, &file);
  }
}

// Of a directory's entries. inotify tells of what happens to the entries' files, too: not the directory's.
void VnodeFilter::ReadEntry(const inotify_event& event, Reading* reading) {
  if ((event.mask & kEntries) == 0) return;
  const bool directory = (event.mask & IN_ISDIR) != 0;
  uint32_t notes = NOTE_WRITE;
  bool moved_directory = false;
  if ((event.mask & (IN_CREATE | IN_DELETE)) != 0) {
    if (directory) notes |= NOTE_LINK;
  } else if ((event.mask & IN_MOVED_FROM) != 0) {
    reading->moves.push_back({event.wd, event.cookie, directory});
  } else {
    const auto from = std::find_if(reading->moves.begin(), reading->moves.end(), [&event](const Move& move) {
      return move.watch == event.wd && move.cookie == event.cookie;
    });
    if (from != reading->moves.end()) {
      reading->moves.erase(from);
    } else {
      notes |= NOTE_EXTEND;
      moved_directory = directory;
    }
  }
  for (const Slot slot : watches_[event.wd]) {
    News& news = reading->news[slot];
    if (files_[slot].watch != event.wd) continue;  // a subdirectory's watch of its parent: it is compared
    news.notes |= notes;
    news.moved_directory |= moved_directory;
  }
}

// inotify's queue was full: what can be found out by comparing is told.
void VnodeFilter::TellAll(Reading* reading) {
  for (const auto& [slot, file] : files_) {
    News& news = reading->news[slot];
    FileStatus now{};
    if (!ReadStatus(file.descriptor, &now)) continue;
    const bool written = now.stx_mtime.tv_sec != file.seen.stx_mtime.tv_sec ||
                         now.stx_mtime.tv_nsec != file.seen.stx_mtime.tv_nsec;
    if (written) news.notes |= NOTE_WRITE;
    news.attributes = true;
    news.moved_directory = S_ISDIR(now.stx_mode);
  }
}

// Adds what only the file itself can tell. Another file under the number: nothing, and its knote goes when it
// is looked at.
uint32_t VnodeFilter::Compare(File* file, const News& news) {
  FileStatus now{};
  if (!ReadStatus(file->descriptor, &now) || !SameFile(file->seen, now)) return 0;
  const FileStatus& seen = file->seen;
  uint32_t notes = news.notes;
  const bool directory = S_ISDIR(now.stx_mode);
  const bool linked = now.stx_nlink != seen.stx_nlink;
  if (!directory && now.stx_size > seen.stx_size) notes |= NOTE_EXTEND;
  if (linked) notes |= NOTE_LINK;
  // Any name that goes is NOTE_DELETE of a file; of a directory, its own.
  if (directory ? now.stx_nlink == 0 && linked : now.stx_nlink < seen.stx_nlink) notes |= NOTE_DELETE;
  // Some file systems do not count subdirectories: their directories have one link for ever.
  if (news.moved_directory && now.stx_nlink == 1) notes |= NOTE_LINK;
  const bool changed =
      now.stx_mode != seen.stx_mode || now.stx_uid != seen.stx_uid || now.stx_gid != seen.stx_gid;
  if (news.attributes && (!linked || changed)) notes |= NOTE_ATTRIB;
  file->seen = now;
  return notes;
}

}  // namespace kevent
