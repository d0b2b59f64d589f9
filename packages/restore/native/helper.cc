// restore-helper [--undo]: runs a restore program, or takes away what one has made whose helper has died.
// Descriptor 3 is the control socket, 4 the program, 5 the state; src/run/run.ts starts it.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "decoder.h"
#include "descriptor_table.h"
#include "numbers.h"
#include "signals.h"
#include "state.h"
#include "supervisor.h"

namespace restore {
namespace {

constexpr int kControlSocket = 3;
constexpr int kProgramFile = 4;
constexpr int kStateFile = 5;
// The state cannot say what is wrong: it is not there.
constexpr int kNoState = 2;
constexpr int kFailureStatus = 1;

struct Mapping {
  void* base = nullptr;
  size_t size = 0;
};

bool Map(int file, int protection, Mapping& mapping) {
  struct stat status {};
  if (fstat(file, &status) != 0 || status.st_size <= 0) return false;
  mapping.size = static_cast<size_t>(status.st_size);
  mapping.base = mmap(nullptr, mapping.size, protection, MAP_SHARED, file, 0);
  return mapping.base != MAP_FAILED;
}

// The soft limit becomes the hard one, so that every number that can be restored can be used. Node has raised
// its own in the same way, so there is no other one to go back to; a program that wants a limit for a task
// sets it by prlimit(2).
bool RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return false;
  limit.rlim_cur = limit.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

// Leaves the control socket alone, at a number that no task wants, and nothing else.
Result ClearTable(const Program& program, int& control) {
  DescriptorTable table(NumberSet(program.reserved(), program.header().reserved_count));
  const Result moved = table.OutOfTheWay(control);
  if (!moved.ok()) return moved;
  if (fcntl(control, F_SETFD, FD_CLOEXEC) != 0) return Result::Failed(SYS_fcntl, errno, control);
  const auto number = static_cast<unsigned>(control);
  if (number > 0 && syscall(SYS_close_range, 0, number - 1, 0) != 0) {
    return Result::Failed(SYS_close_range, errno);
  }
  if (syscall(SYS_close_range, number + 1, ~0U, 0) != 0) return Result::Failed(SYS_close_range, errno);
  return {};
}

int RunHelper(bool undo) {
  ResetSignals();
  Mapping state_file;
  Mapping program_file;
  if (!Map(kStateFile, PROT_READ | PROT_WRITE, state_file) || state_file.size < sizeof(SharedHeader))
    return kNoState;
  if (!Map(kProgramFile, PROT_READ, program_file)) return kNoState;
  SharedState state;
  state.header = static_cast<SharedHeader*>(state_file.base);
  static Program program;
  const Damage damage = program.Decode(program_file.base, program_file.size);
  if (damage != Damage::kNone || state_file.size < SharedState::SizeFor(program.header())) {
    state.Fail(FailureKind::kProgram, 0, program.damaged_op(), 0, 0, static_cast<int64_t>(damage));
    return kFailureStatus;
  }
  state.Lay(state_file.base, program.header());
  int control = kControlSocket;
  if (undo) return CleanUp(program, state, control);
  state.header->helper = getpid();
  state.header->caller = getppid();
  const Result cleared =
      RaiseDescriptorLimit() ? ClearTable(program, control) : Result::Failed(SYS_prlimit64, errno);
  if (!cleared.ok()) {
    state.Fail(FailureKind::kHelper, 0, 0, cleared.call, cleared.error, cleared.detail);
    return kFailureStatus;
  }
  return Supervise(program, state,
                   {.program = program_file.base, .program_size = program_file.size, .control = control});
}

}  // namespace
}  // namespace restore

int main(int count, char** arguments) {
  const bool undo = count == 2 && strcmp(arguments[1], "--undo") == 0;
  if (count > 1 && !undo) return restore::kNoState;
  return restore::RunHelper(undo);
}
