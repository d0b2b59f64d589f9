// Random sequences of changes, I/O and kevent(2) calls against a model of kqueue that a reader can check: one
// knote is a handful of plain values, one source a few counts. Every event must be one that the model allows,
// and none that is due may be missing. A second test has threads, and looks at what must hold in any order.
//
// model_test [seed [episodes]]: a failure prints its seed and the steps up to it; each episode begins anew.
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "check.h"
#include "queue.h"

using kevent::Consumer;
using kevent::Descriptor;
using kevent::KEvent;
using kevent::Queue;
using namespace kevent;  // the constants

namespace {

#if defined(__SANITIZE_THREAD__)
constexpr int kScale = 8;
#elif defined(__SANITIZE_ADDRESS__)
constexpr int kScale = 2;
#else
constexpr int kScale = 1;
#endif

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next() {  // splitmix64
    uint64_t value = state_ += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
  }
  int Below(int limit) { return static_cast<int>(Next() % static_cast<uint64_t>(limit)); }
  bool OneIn(int n) { return Below(n) == 0; }

 private:
  uint64_t state_;
};

// The steps of the episode so far, printed when it fails.
std::vector<std::string> history;
uint64_t episode_seed = 0;

template <typename... Arguments>
std::string Format(const char* format, Arguments... arguments) {
  char text[256];
  snprintf(text, sizeof(text), format, arguments...);
  return text;
}

[[noreturn]] void Fail(const std::string& reason) {
  for (size_t step = 0; step < history.size(); step++)
    fprintf(stderr, "%4zu %s\n", step, history[step].c_str());
  fprintf(stderr, "model_test: seed %llu, step %zu: %s\n", static_cast<unsigned long long>(episode_seed),
          history.size(), reason.c_str());
  abort();
}

void Require(bool condition, const char* what) {
  if (!condition) Fail(Format("%s (errno %d)", what, errno));
}

std::string Show(const KEvent& event) {
  return Format("{%lld, %d, 0x%x, 0x%x, %lld, %g}", static_cast<long long>(event.ident), event.filter,
                event.flags, event.fflags, static_cast<long long>(event.data), event.udata);
}

// ---- The model ------------------------------------------------------------------------------------------

constexpr int kFirstDescriptor = 100;  // far from what the test itself opens
constexpr int kEnds = 8;  // pairs of ends: 0-3 stream sockets, 4-7 pipes (even reads, odd writes)
constexpr int64_t kFarAhead = 4'000'000'000;  // seconds, of a timer
constexpr int kFull = 1 << 30;                // a low-water mark that no buffer reaches

struct End {
  bool open = false;
  int bytes = 0;         // that wait to be read here
  int writes = 0;        // since they were last all read
  bool full = false;     // what it sends to has no room
  bool no_more = false;  // the other end will send nothing: end of file behind `bytes`
  bool peer_gone = false;
  bool shut = false;  // it has said itself that it sends no more
};

struct ModelKnote {
  uint16_t sticky = 0;
  uint32_t fflags = 0;
  int64_t data = 0;
  double udata = 0;
  bool enabled = true;
  bool forced = false;
  bool held = false;     // delivered with EV_DISPATCH, and not enabled since
  bool pending = false;  // USER: triggered; TIMER: expired
  // READ, WRITE: something happened that a new event is due for, if it is ready.
  bool fresh = false;
  // Causes for an edge since then: EV_CLEAR may be delivered again for what an event has told already, but
  // never without one of them.
  int causes = 0;
  int missed = 0;  // calls in a row that left it out although it was due
};

using Name = std::pair<int64_t, int16_t>;

bool OfDescriptor(int16_t filter) {
  return filter == EVFILT_READ || filter == EVFILT_WRITE;
}

class Model {
 public:
  std::array<End, kEnds> ends;
  std::map<Name, ModelKnote> knotes;

  static int IndexOf(int64_t descriptor) { return static_cast<int>(descriptor) - kFirstDescriptor; }
  static bool IsPipe(int end) { return end >= 4; }

  // Errno of a change, which is applied if that is 0.
  int Apply(const KEvent& given) {
    KEvent change = given;
    change.flags &= 0x0fff;
    const bool adding = (change.flags & EV_ADD) != 0;
    if (change.filter == -20 || change.filter == 5) return EINVAL;
    if ((change.flags & 0x0c00) != 0) return EINVAL;
    if ((change.flags & EV_ENABLE) != 0 && (change.flags & EV_DISABLE) != 0) return EINVAL;
    if (adding && (change.flags & EV_KEEPUDATA) != 0) return EINVAL;
    if (change.filter == EVFILT_TIMER && (change.flags & EV_DELETE) == 0) {
      if ((change.fflags & ~0x1fu) != 0 || (adding && change.data < 0)) return EINVAL;
    }
    if (OfDescriptor(change.filter) && !ends[static_cast<size_t>(IndexOf(change.ident))].open) return EBADF;
    const auto found = knotes.find({change.ident, change.filter});
    if ((change.flags & EV_DELETE) != 0) {
      if (found == knotes.end()) return ENOENT;
      if ((change.fflags & NOTE_DEFER) != 0 && found->second.held) {
        found->second.forced = true;
        return EINPROGRESS;
      }
      knotes.erase(found);
      Stir(change.ident);
      return 0;
    }
    if (found == knotes.end()) return adding ? Create(change) : ENOENT;
    Modify(&found->second, change);
    return 0;
  }

  // The filter's condition, now.
  bool Ready(const Name& name, const ModelKnote& knote) const {
    if (!OfDescriptor(name.second)) return knote.pending;
    const int index = IndexOf(name.first);
    const End& end = ends[static_cast<size_t>(index)];
    // Who does not want to know how much there is has no low-water mark.
    const bool counts = (knote.fflags & (NOTE_LOWAT | NOTE_NODATA)) == NOTE_LOWAT;
    const int64_t low = counts ? std::max<int64_t>(knote.data, 1) : 1;
    if (name.second == EVFILT_READ) {
      if (IsPipe(index) && index % 2 == 1) return false;
      return end.bytes >= low || end.no_more;
    }
    if (IsPipe(index) && index % 2 == 0) return false;
    return end.peer_gone || (!end.full && low < kFull);
  }
  bool Due(const Name& name, const ModelKnote& knote) const {
    if (!knote.enabled) return false;
    if (knote.forced) return true;
    const bool edge = OfDescriptor(name.second) && (knote.sticky & EV_CLEAR) != 0;
    return Ready(name, knote) && (!edge || knote.fresh);
  }
  bool Allowed(const Name& name, const ModelKnote& knote) const {
    if (!knote.enabled) return false;
    if (Due(name, knote)) return true;
    if (!OfDescriptor(name.second)) return false;
    // NOTE_NODATA is told of the edge, and does not look again, unless it has to come round again by itself.
    const bool blind =
        (knote.fflags & NOTE_NODATA) != 0 && (knote.sticky & (EV_ONESHOT | EV_CLEAR | EV_DISPATCH)) != 0;
    return (Ready(name, knote) || blind) && knote.causes > 0;
  }

  // Something happened at an end: both its knotes may see an edge, `filter` has something new.
  void Happens(int end, int16_t filter) {
    Stir(kFirstDescriptor + end);
    const auto found = knotes.find({kFirstDescriptor + end, filter});
    if (found != knotes.end()) found->second.fresh = true;
  }
  void Stir(int64_t descriptor) {
    for (const int16_t filter : {EVFILT_READ, EVFILT_WRITE}) {
      const auto found = knotes.find({descriptor, filter});
      if (found != knotes.end()) found->second.causes++;
    }
  }
  void Forget(int64_t descriptor) {
    knotes.erase({descriptor, EVFILT_READ});
    knotes.erase({descriptor, EVFILT_WRITE});
  }

  // An event was returned: it must be one that is allowed, with the right values; then what becomes of it.
  void Deliver(const KEvent& event) {
    const Name name{event.ident, event.filter};
    const auto found = knotes.find(name);
    if (found == knotes.end()) Fail("an event of no knote: " + Show(event));
    ModelKnote& knote = found->second;
    if (!Allowed(name, knote)) Fail("an event that is not due: " + Show(event));
    CheckFlags(name, knote, event);
    CheckValues(name, knote, event);
    knote.missed = 0;
    if (knote.forced || (knote.sticky & EV_ONESHOT) != 0) {
      knotes.erase(found);
      if (OfDescriptor(name.second)) Stir(event.ident);
      return;
    }
    if ((knote.sticky & EV_CLEAR) != 0) knote.pending = false;
    knote.fresh = false;
    if (knote.causes > 0) knote.causes--;
    if ((knote.sticky & EV_DISPATCH) != 0) {
      knote.enabled = false;
      knote.held = true;
    }
  }

 private:
  int Create(const KEvent& change) {
    ModelKnote knote;
    knote.sticky = change.flags & (EV_ONESHOT | EV_CLEAR | EV_RECEIPT | EV_DISPATCH);
    knote.enabled = (change.flags & EV_DISABLE) == 0;
    knote.udata = change.udata;
    Touch(&knote, change, true);
    knote.fresh = true;
    knotes[{change.ident, change.filter}] = knote;
    if (OfDescriptor(change.filter)) Stir(change.ident);
    return 0;
  }

  void Modify(ModelKnote* knote, const KEvent& change) {
    if ((change.flags & EV_KEEPUDATA) == 0) knote->udata = change.udata;
    Touch(knote, change, false);
    if ((change.flags & EV_FORCEONESHOT) != 0) knote->forced = true;
    if ((change.flags & EV_ENABLE) != 0) {
      knote->enabled = true;
      knote->held = false;
    }
    if ((change.flags & EV_DISABLE) != 0) knote->enabled = false;
    if ((change.fflags & NOTE_DRAINED) == 0 || !OfDescriptor(change.filter)) knote->fresh = true;
    if (OfDescriptor(change.filter)) Stir(change.ident);
  }

  static void Touch(ModelKnote* knote, const KEvent& change, bool creating) {
    if (change.filter == EVFILT_USER) {
      TouchUser(knote, change, creating);
    } else if (change.filter == EVFILT_TIMER) {
      if ((change.flags & EV_ADD) == 0) return;
      const bool absolute = (change.fflags & NOTE_ABSTIME) != 0;
      if (!absolute) knote->sticky |= EV_CLEAR;
      // The test has no others than these: long past, at once, and not in its lifetime.
      knote->pending = change.data < 1'000'000 && (absolute || change.data == 0);
    } else {
      knote->fflags = change.fflags & ~static_cast<uint32_t>(NOTE_DRAINED);
      knote->data = change.data;
    }
  }

  static void TouchUser(ModelKnote* knote, const KEvent& change, bool creating) {
    const uint32_t bits = change.fflags & 0x00ffffff;
    switch (change.fflags >> 30) {
      case 1:
        knote->fflags &= bits;
        break;
      case 2:
        knote->fflags |= bits;
        break;
      case 3:
        knote->fflags = bits;
        break;
      default:
        break;
    }
    knote->data = change.data;
    if ((change.fflags & NOTE_TRIGGER) != 0) knote->pending = true;
    if (!creating && (change.flags & EV_CLEAR) != 0) knote->pending = false;
  }

  void CheckFlags(const Name& name, const ModelKnote& knote, const KEvent& event) const {
    const uint16_t expected = knote.sticky | (knote.forced ? EV_ONESHOT | EV_FORCEONESHOT : 0);
    if ((event.flags & ~EV_EOF) != expected) Fail("wrong flags: " + Show(event));
    const bool eof = (event.flags & EV_EOF) != 0;
    if (!OfDescriptor(name.second)) {
      if (eof) Fail("an end of file of no file: " + Show(event));
      return;
    }
    const End& end = ends[static_cast<size_t>(IndexOf(name.first))];
    if (name.second == EVFILT_READ) {
      if (eof && !end.no_more) Fail("no end of file: " + Show(event));
      const bool only = Ready(name, knote) && end.bytes == 0 && (knote.fflags & NOTE_NODATA) == 0;
      if (only && !eof) Fail("without its end of file: " + Show(event));
    } else {
      if (eof && !end.peer_gone) Fail("no end of file: " + Show(event));
      const bool sure = Ready(name, knote) && end.peer_gone && (knote.fflags & NOTE_NODATA) == 0;
      if (sure && !eof) Fail("without its end of file: " + Show(event));
    }
  }

  void CheckValues(const Name& name, const ModelKnote& knote, const KEvent& event) const {
    if (event.udata != knote.udata) Fail(Format("udata is not %g: ", knote.udata) + Show(event));
    bool right = true;
    switch (name.second) {
      case EVFILT_USER:
        right = event.fflags == knote.fflags && event.data == knote.data;
        break;
      case EVFILT_TIMER:
        right = event.fflags == 0 && event.data == (knote.pending ? 1 : 0);
        break;
      default: {
        const End& end = ends[static_cast<size_t>(IndexOf(name.first))];
        right = event.fflags == 0 || (event.fflags == ECONNRESET && end.peer_gone);
        if (!Ready(name, knote)) break;  // forced
        if ((knote.fflags & NOTE_NODATA) != 0) {
          right = right && event.data == 0;
        } else if (name.second == EVFILT_READ) {
          right = right && event.data == end.bytes;
        } else {
          right = right && (end.peer_gone || event.data >= 1);
        }
      }
    }
    if (!right) Fail("wrong fflags or data: " + Show(event));
  }
};

// ---- The test -------------------------------------------------------------------------------------------

class Episode {
 public:
  explicit Episode(uint64_t seed) : random_(seed) {
    int error = 0;
    queue_ = Queue::Make(&error);
    Require(queue_ != nullptr, "a queue");
    consumer_ = queue_->MakeConsumer();
    for (int pair = 0; pair < kEnds; pair += 2) Open(pair);
  }
  Episode(const Episode&) = delete;
  Episode& operator=(const Episode&) = delete;
  ~Episode() {
    for (int end = 0; end < kEnds; end++) {
      if (model_.ends[static_cast<size_t>(end)].open) close(kFirstDescriptor + end);
    }
  }

  void Run(int steps) {
    for (int step = 0; step < steps; step++) {
      const int chance = random_.Below(20);
      if (chance < 8) {
        Call();
      } else if (chance < 11) {
        Call(0);
      } else {
        Io(random_.Below(kEnds));
      }
    }
    Drain();
  }

 private:
  End& At(int end) { return model_.ends[static_cast<size_t>(end)]; }

  void Open(int pair) {
    int both[2];
    if (Model::IsPipe(pair)) {
      Require(pipe2(both, O_NONBLOCK | O_CLOEXEC) == 0, "a pipe");
      Require(fcntl(both[1], F_SETPIPE_SZ, 16384) >= 0, "its size");
    } else {
      Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0, "a pair");
      const int size = 65536;
      for (const int socket : both) {
        Require(setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0, "its size");
      }
    }
    for (int end = 0; end < 2; end++) {
      Require(dup3(both[end], kFirstDescriptor + pair + end, O_CLOEXEC) >= 0, "its number");
      close(both[end]);
      At(pair + end) = {};
      At(pair + end).open = true;
    }
    history.push_back(Format("open %d and %d", kFirstDescriptor + pair, kFirstDescriptor + pair + 1));
  }

  void Close(int end) {
    const int descriptor = kFirstDescriptor + end;
    history.push_back(Format("close %d", descriptor));
    Require(queue_->CloseDescriptor(descriptor) == 0, "close");
    model_.Forget(descriptor);
    At(end).open = false;
    const int peer = end ^ 1;
    At(peer).peer_gone = true;
    At(peer).no_more = true;
    if (!At(peer).open) return;
    model_.Happens(peer, EVFILT_READ);
    model_.Happens(peer, EVFILT_WRITE);
  }

  // What end `end` writes can be read at its peer.
  bool MayWrite(int end) {
    const bool backwards = Model::IsPipe(end) && end % 2 == 0;
    return !backwards && At(end).open && At(end ^ 1).open && !At(end).full && !At(end).shut;
  }

  void Write(int end, bool fill) {
    if (!MayWrite(end) || (!fill && At(end ^ 1).writes >= 16)) return;
    char block[4096] = {};
    int written = 0;
    if (fill) {
      for (size_t size = sizeof(block); size > 0; size = size == 1 ? 0 : 1) {
        ssize_t count = 0;
        while ((count = write(kFirstDescriptor + end, block, size)) > 0) written += static_cast<int>(count);
        Require(count < 0 && errno == EAGAIN, "full");
      }
      At(end).full = true;
    } else {
      const int size = 1 + random_.Below(20);
      const ssize_t count = write(kFirstDescriptor + end, block, static_cast<size_t>(size));
      Require(count > 0, "written");
      written = static_cast<int>(count);
    }
    history.push_back(Format("write %d bytes to %d", written, kFirstDescriptor + end));
    At(end ^ 1).bytes += written;
    At(end ^ 1).writes++;
    model_.Happens(end ^ 1, EVFILT_READ);
    model_.Stir(kFirstDescriptor + end);
  }

  void Read(int end, bool all) {
    if (!At(end).open || At(end).bytes == 0) return;
    const bool was_full = At(end ^ 1).full;
    int wanted = all || was_full ? At(end).bytes : 1 + random_.Below(At(end).bytes);
    history.push_back(Format("read %d bytes from %d", wanted, kFirstDescriptor + end));
    At(end).bytes -= wanted;
    char block[4096];
    while (wanted > 0) {
      const ssize_t count =
          read(kFirstDescriptor + end, block, std::min(sizeof(block), static_cast<size_t>(wanted)));
      if (count < 0 && errno == ECONNRESET) continue;  // the peer went with bytes unread; told once
      Require(count > 0, "read");
      wanted -= static_cast<int>(count);
    }
    if (At(end).bytes == 0) At(end).writes = 0;
    model_.Stir(kFirstDescriptor + end);
    At(end ^ 1).full = false;
    if (!At(end ^ 1).open) return;
    model_.Stir(kFirstDescriptor + (end ^ 1));
    if (was_full) model_.Happens(end ^ 1, EVFILT_WRITE);
  }

  void Shut(int end) {
    if (Model::IsPipe(end) || end % 2 == 0 || !At(end).open || !At(end ^ 1).open || At(end).shut) return;
    history.push_back(Format("shut down %d", kFirstDescriptor + end));
    Require(shutdown(kFirstDescriptor + end, SHUT_WR) == 0, "shutdown");
    At(end).shut = true;
    At(end ^ 1).no_more = true;
    model_.Happens(end ^ 1, EVFILT_READ);
    model_.Stir(kFirstDescriptor + end);
  }

  void Io(int end) {
    const int chance = random_.Below(100);
    if (chance < 50) {
      Write(end, chance < 3);
    } else if (chance < 90) {
      Read(end, random_.OneIn(2));
    } else if (chance < 92) {
      Shut(end);
    } else if (chance < 96) {
      if (At(end).open) Close(end);
    } else if (!At(end).open && !At(end ^ 1).open) {
      Open(end & ~1);
    } else if (!At(end).open) {
      Close(end ^ 1);
    }
  }

  KEvent RandomChange() {
    KEvent change{};
    switch (random_.Below(8)) {
      case 0:
      case 1:
        change.filter = EVFILT_USER;
        change.ident = 1 + random_.Below(3);
        change.fflags =
            static_cast<uint32_t>(random_.Below(4)) << 30 | static_cast<uint32_t>(random_.Below(16));
        if (random_.OneIn(2)) change.fflags |= NOTE_TRIGGER;
        change.data = random_.Below(100) - 50;
        break;
      case 2:
        change.filter = EVFILT_TIMER;
        change.ident = 1 + random_.Below(3);
        break;
      default:
        change.filter = random_.OneIn(2) ? EVFILT_READ : EVFILT_WRITE;
        change.ident = kFirstDescriptor + random_.Below(kEnds);
    }
    change.udata = random_.Below(1000);
    change.flags = RandomFlags();
    if (change.filter == EVFILT_TIMER) SetTimer(&change);
    if (OfDescriptor(change.filter)) SetDescriptor(&change);
    if ((change.flags & EV_DELETE) != 0 && random_.OneIn(2)) change.fflags |= NOTE_DEFER;
    return change;
  }

  uint16_t RandomFlags() {
    uint32_t flags = 0;
    switch (random_.Below(12)) {
      case 0:
        return static_cast<uint16_t>(random_.Below(0x10000));  // anything at all
      case 1:
        return EV_DELETE;
      case 2:
        return static_cast<uint16_t>(EV_FORCEONESHOT | (random_.OneIn(2) ? EV_KEEPUDATA : 0));
      case 3:
      case 4:
        return static_cast<uint16_t>(EV_ENABLE | (random_.OneIn(2) ? EV_KEEPUDATA : 0));
      case 5:
        return EV_DISABLE;
      default:
        flags = EV_ADD;
        for (const Flag flag : {EV_ENABLE, EV_ONESHOT, EV_CLEAR, EV_DISPATCH, EV_DISPATCH}) {
          if (random_.OneIn(3)) flags |= flag;
        }
        if (random_.OneIn(8)) flags = (flags & ~EV_ENABLE) | EV_DISABLE;
        if (random_.OneIn(16)) flags |= EV_FORCEONESHOT;
        if (random_.OneIn(16)) flags |= EV_RECEIPT;
        return static_cast<uint16_t>(flags);
    }
  }

  // Long past, at once (a one-shot only: a periodic one has a period of 1 at least), or far ahead.
  void SetTimer(KEvent* change) {
    const auto found = model_.knotes.find({change->ident, change->filter});
    const uint16_t flags = found == model_.knotes.end() ? change->flags : found->second.sticky;
    change->fflags = NOTE_SECONDS;
    if (random_.OneIn(2)) change->fflags |= NOTE_ABSTIME;
    const bool absolute = (change->fflags & NOTE_ABSTIME) != 0;
    change->data = kFarAhead;
    if (random_.OneIn(2) && (absolute || (flags & EV_ONESHOT) != 0)) {
      change->data = absolute ? 1 + random_.Below(5) : 0;
    }
    if (random_.OneIn(16)) change->data = -1;
    if (random_.OneIn(16)) change->fflags |= 0x40;
  }

  void SetDescriptor(KEvent* change) {
    if (random_.OneIn(6)) {
      change->fflags |= NOTE_LOWAT;
      change->data = change->filter == EVFILT_READ ? random_.Below(40) : (random_.OneIn(2) ? 10 : kFull);
    }
    if (random_.OneIn(10)) change->fflags |= NOTE_NODATA;
    const End& end = At(Model::IndexOf(change->ident));
    const bool drained = change->filter == EVFILT_READ && end.bytes == 0 && !end.no_more;
    if (drained && (change->flags & EV_ENABLE) != 0 && random_.OneIn(3)) change->fflags |= NOTE_DRAINED;
  }

  // kevent() with up to `most` changes, a room for events that may be none, and no wait.
  void Call(int most = 4) {
    std::vector<KEvent> changes;
    const int count = most == 0 ? 0 : 1 + random_.Below(most);
    for (int index = 0; index < count; index++) {
      changes.push_back(RandomChange());
      // Whether 0 is a period of 1 depends on what the changes before it make.
      if (index > 0 && changes.back().filter == EVFILT_TIMER && changes.back().data == 0) {
        changes.back().data = kFarAhead;
      }
      // An EV_ENABLE of a closed descriptor is answered after its list: such a change is a list of its own.
      if (OfDescriptor(changes.back().filter) && !At(Model::IndexOf(changes.back().ident)).open) {
        changes = {changes.back()};
        break;
      }
    }
    const int max = random_.OneIn(6) ? 0 : 1 + random_.Below(10);
    KEvent events[16];
    std::string text = Format("kevent max %d", max);
    for (const KEvent& change : changes) text += " " + Show(change);
    history.push_back(text);
    const int result =
        queue_->Kevent(changes.data(), static_cast<int>(changes.size()), events, max, 0, consumer_.get());
    for (int index = 0; index < result; index++) history.back() += "\n       -> " + Show(events[index]);
    if (Answered(changes, max, result, events)) return;
    if (max == 0) return;
    CheckEvents(events, result, max);
  }

  // Applies the changes to the model. True: their errors and receipts are the whole answer, and were right.
  bool Answered(const std::vector<KEvent>& changes, int max, int result, const KEvent* events) {
    std::vector<KEvent> answers;
    for (const KEvent& change : changes) {
      if (change.filter == 0) continue;
      const int error = model_.Apply(change);
      if (error == 0 && (change.flags & EV_RECEIPT) == 0) continue;
      if (static_cast<int>(answers.size()) == max) {
        // A receipt that has no room ends the list; what was written before it counts.
        const int expected = error == 0 ? max : -error;
        if (result != expected) Fail(Format("%d instead of %d", result, expected));
        return true;
      }
      answers.push_back({change.ident, change.filter, EV_ERROR, 0, error, change.udata});
    }
    if (answers.empty() && max > 0) return false;
    if (result != static_cast<int>(answers.size()))
      Fail(Format("%d instead of %zu answers", result, answers.size()));
    for (size_t index = 0; index < answers.size(); index++) {
      if (Show(answers[index]) != Show(events[index])) Fail("the answer should be " + Show(answers[index]));
    }
    return true;
  }

  void CheckEvents(const KEvent* events, int count, int max) {
    if (count < 0) Fail(Format("kevent: %d", count));
    const bool all = count < max;
    for (auto& [name, knote] : model_.knotes) {
      if (model_.Due(name, knote)) {
        if (count == 0)
          Fail(Format("nothing, though {%lld, %d} is due", static_cast<long long>(name.first), name.second));
        // The ring serves some calls before epoll is asked again; and all have their turn.
        if (++knote.missed > (all ? 16 : 100)) {
          Fail(Format("{%lld, %d} has been due for too long", static_cast<long long>(name.first),
                      name.second));
        }
      } else {
        knote.missed = 0;
      }
    }
    for (int index = 0; index < count; index++) {
      for (int before = 0; before < index; before++) {
        const bool twice =
            events[before].ident == events[index].ident && events[before].filter == events[index].filter;
        if (twice) Fail("twice in one call: " + Show(events[index]));
      }
      model_.Deliver(events[index]);
    }
  }

  // What is due at the end comes; what is edge-triggered falls silent.
  void Drain() {
    for (int round = 0; round < 20; round++) Call(0);
  }

  Random random_;
  std::unique_ptr<Queue> queue_;
  std::unique_ptr<Consumer> consumer_;
  Model model_;
};

// ---- Threads --------------------------------------------------------------------------------------------

// Threads do random things to one queue. Whatever their order: an EV_DISPATCH knote is in one of them at a
// time, no event comes from a call that began after its EV_DELETE had returned, what was forced comes exactly
// once as such, and the tokens that wander over socket pairs are as many at the end as at the start.
class Crowd {
 public:
  Crowd(uint64_t seed, int threads, int steps) : threads_(threads), steps_(steps) {
    int error = 0;
    queue_ = Queue::Make(&error);
    Require(queue_ != nullptr, "a queue");
    const auto consumer = queue_->MakeConsumer();
    for (int pair = 0; pair < kPairs; pair++) {
      int both[2];
      Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, both) == 0, "a pair");
      for (int end = 0; end < 2; end++) {
        const int index = pair * 2 + end;
        ends_[static_cast<size_t>(index)] = Descriptor(both[end]);
        const KEvent change{both[end], EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, static_cast<double>(index)};
        Require(queue_->Kevent(&change, 1, nullptr, 0, 0, consumer.get()) == 0, "EV_ADD");
      }
      Require(write(both[0], "t", 1) == 1, "a token");
    }
    for (Place& place : places_) place.busy = std::vector<std::atomic<bool>>(static_cast<size_t>(steps) + 1);
    for (int thread = 0; thread < threads; thread++) {
      workers_.emplace_back(
          [this, thread, seed] { Work(thread, seed * 16 + static_cast<uint64_t>(thread)); });
    }
    for (std::thread& worker : workers_) worker.join();
    Settle();
  }

 private:
  static constexpr int kPairs = 2;
  static constexpr int kLives = 4;            // USER knotes that a thread has at a time
  static constexpr int kIdents = 4 * kLives;  // at most four threads
  enum Life : int { kAbsent, kLiving, kForced };

  struct Place {
    std::atomic<int64_t> deleted{0};      // lives up to this one are over: their EV_DELETE has returned
    std::atomic<int64_t> torn_down{0};    // the last life whose forced event was delivered
    std::vector<std::atomic<bool>> busy;  // by life: a late handler of one life is no matter to the next
    int64_t life = 0;                     // of the owner alone, as is `state`
    Life state = kAbsent;
  };

  void Work(int thread, uint64_t seed) {
    Random random(seed);
    const auto consumer = queue_->MakeConsumer();
    for (int step = 0; step < steps_; step++) {
      if (random.OneIn(2)) {
        Serve(&random, consumer.get());
      } else {
        Own(thread, &random, consumer.get());
      }
      if (random.OneIn(8)) Meddle(&random, consumer.get());
    }
    served_out_.fetch_add(1);
    // Forced ones of other threads may be in this thread's turn.
    while (served_out_.load() < threads_) Serve(&random, consumer.get());
  }

  int Apply(const KEvent& change, Consumer* consumer) {
    return -queue_->Kevent(&change, 1, nullptr, 0, 0, consumer);
  }

  // A change of a thread's own knote: made, triggered, forced, removed.
  void Own(int thread, Random* random, Consumer* consumer) {
    const int ident = thread * kLives + random->Below(kLives);
    Place& place = places_[static_cast<size_t>(ident)];
    const double life = static_cast<double>(place.life);
    if (place.state == kForced && place.torn_down.load() == place.life) place.state = kAbsent;
    if (place.state == kForced) return;
    if (place.state == kAbsent) {
      place.life++;
      place.state = kLiving;
      const KEvent add{
          Ident(ident, place.life),       EVFILT_USER, EV_ADD | EV_DISPATCH | EV_CLEAR, NOTE_TRIGGER, ident,
          static_cast<double>(place.life)};
      Require(Apply(add, consumer) == 0, "EV_ADD");
      return;
    }
    const int64_t name = Ident(ident, place.life);
    switch (random->Below(4)) {
      case 0:
        Require(Apply({name, EVFILT_USER, EV_DELETE, 0, 0, 0}, consumer) == 0, "EV_DELETE");
        place.deleted.store(place.life);
        place.state = kAbsent;
        break;
      case 1:
        place.state = kForced;
        forced_.fetch_add(1);
        Require(Apply({name, EVFILT_USER, EV_FORCEONESHOT, 0, ident, life}, consumer) == 0, "forced");
        break;
      default:
        Require(Apply({name, EVFILT_USER, 0, NOTE_TRIGGER, ident, life}, consumer) == 0, "triggered");
    }
  }

  // A name for each life: a late EV_ENABLE finds nothing.
  static int64_t Ident(int ident, int64_t life) { return life * kIdents + ident; }

  // Changes that must not matter to anybody: of names that are not there, and re-additions.
  void Meddle(Random* random, Consumer* consumer) {
    const Descriptor& end = ends_[static_cast<size_t>(random->Below(kPairs * 2))];
    const KEvent changes[] = {
        {-1 - random->Below(100), EVFILT_USER, EV_ENABLE, NOTE_TRIGGER, 0, 0},
        {end.get(), EVFILT_READ, EV_ADD | EV_DISPATCH, 0, 0, UdataOf(end)},
        {end.get(), EVFILT_WRITE, EV_ADD | EV_DISABLE, 0, 0, 0},
        {end.get(), EVFILT_WRITE, EV_DELETE, 0, 0, 0},
    };
    for (const KEvent& change : changes) {
      const int error = Apply(change, consumer);
      if (error != 0 && error != ENOENT) Fail(Format("error %d of ", error) + Show(change));
    }
  }

  double UdataOf(const Descriptor& end) const { return static_cast<double>(&end - ends_.data()); }

  void Serve(Random* random, Consumer* consumer) {
    std::array<int64_t, kIdents> deleted{};
    for (size_t ident = 0; ident < kIdents; ident++) deleted[ident] = places_[ident].deleted.load();
    KEvent events[4];
    const int max = 1 + random->Below(4);
    const int64_t timeout = random->OneIn(4) ? 100'000 : 0;
    const int count = queue_->Kevent(nullptr, 0, events, max, timeout, consumer);
    if (count < 0) Fail(Format("kevent: %d", count));
    for (int index = 0; index < count; index++) {
      if (events[index].filter == EVFILT_READ) {
        Pass(events[index], consumer);
      } else {
        Handle(events[index], deleted, consumer);
      }
    }
  }

  void Handle(const KEvent& event, const std::array<int64_t, kIdents>& deleted, Consumer* consumer) {
    const auto ident = static_cast<size_t>(event.data);
    Place& place = places_[ident];
    const auto life = static_cast<int64_t>(event.udata);
    if (life <= deleted[ident]) Fail("an event after its EV_DELETE: " + Show(event));
    if (life == place.torn_down.load()) Fail("an event after the forced one: " + Show(event));
    std::atomic<bool>& busy = place.busy[static_cast<size_t>(life)];
    Require(!busy.exchange(true), "one handler at a time");
    if (life % 8 == 0) std::this_thread::yield();
    busy.store(false);
    if ((event.flags & EV_FORCEONESHOT) != 0) {
      torn_down_.fetch_add(1);
      place.torn_down.store(life);
      return;
    }
    const int error = Apply({event.ident, EVFILT_USER, EV_ENABLE | EV_KEEPUDATA, 0, event.data, 0}, consumer);
    Require(error == 0 || error == ENOENT, "EV_ENABLE");
  }

  // Moves the token to the other end.
  void Pass(const KEvent& event, Consumer* consumer) {
    const auto end = static_cast<size_t>(event.udata);
    Require(busy_ends_[end].exchange(1) == 0, "one reader at a time");
    char token = 0;
    const ssize_t got = read(static_cast<int>(event.ident), &token, 1);
    Require(got == 1 || errno == EAGAIN, "a token");
    if (got == 1) Require(write(ends_[end ^ 1].get(), &token, 1) == 1, "handed on");
    busy_ends_[end].store(0);
    Require(Apply({event.ident, EVFILT_READ, EV_ENABLE | EV_KEEPUDATA, 0, 0, 0}, consumer) == 0, "EV_ENABLE");
  }

  void Settle() {
    const auto consumer = queue_->MakeConsumer();
    Random random(1);
    for (int round = 0; round < 1'000 && torn_down_.load() < forced_.load(); round++) {
      Serve(&random, consumer.get());
    }
    Require(torn_down_.load() == forced_.load(), "each forced one once");
    int tokens = 0;
    char buffer[8];
    for (const Descriptor& end : ends_) {
      const ssize_t got = read(end.get(), buffer, sizeof(buffer));
      if (got > 0) tokens += static_cast<int>(got);
    }
    Require(tokens == kPairs, "no token lost");
    for (const KnoteView& view : queue_->List()) Require(!view.disabled, "nothing held");
  }

  const int threads_;
  const int steps_;
  std::unique_ptr<Queue> queue_;
  std::array<Descriptor, kPairs * 2> ends_;
  std::array<std::atomic<int>, kPairs * 2> busy_ends_{};
  std::array<Place, kIdents> places_;
  std::atomic<int> served_out_{0};
  std::atomic<int64_t> forced_{0};
  std::atomic<int64_t> torn_down_{0};
  std::vector<std::thread> workers_;
};

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  const uint64_t first = argc > 1 ? strtoull(argv[1], nullptr, 10) : 1;
  const int episodes = argc > 2 ? static_cast<int>(strtol(argv[2], nullptr, 10)) : 3'000 / kScale;
  constexpr int kSteps = 200;
  for (int index = 0; index < episodes; index++) {
    episode_seed = first + static_cast<uint64_t>(index);
    history.clear();
    Episode(episode_seed).Run(kSteps);
  }
  history.clear();
  const int crowds = std::max(episodes / 500, 1);
  for (int index = 0; index < crowds; index++) {
    episode_seed = first + static_cast<uint64_t>(index);
    for (int threads = 2; threads <= 4; threads++) Crowd(episode_seed, threads, 10'000 / kScale);
  }
  printf("model_test: %d steps, ok; %d crowds, ok\n", episodes * kSteps, crowds * 3);
  return 0;
}
