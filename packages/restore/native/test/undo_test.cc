// What is undone, and in which order: by the states that operations note.
#include "undo.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "check.h"
#include "program_builder.h"

using restore::NoteBegun;
using restore::NoteDone;
using restore::NoteFailed;
using restore::Program;
using restore::SharedState;
using restore::UndoAll;
using restore::UndoState;
using restore::program::UndoKind;
using restore::test::ProgramBuilder;
using restore::test::StateMemory;

namespace {

bool Exists(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) == 0;
}

void Touch(const std::string& path) {
  const int file = open(path.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  CHECK(file >= 0 && close(file) == 0);
}

std::string MakeFolder() {
  char path[] = "/tmp/restore-undo-XXXXXX";
  CHECK(mkdtemp(path) != nullptr);
  return path;
}

// A folder, a file in it and a name that was put aside: only the other way round they go.
void TestBackwards() {
  const std::string folder = MakeFolder();
  const std::string made = folder + "/made";
  const std::string file = made + "/file";
  const std::string old = folder + "/socket";
  const std::string aside = folder + "/socket.aside";
  Touch(old);
  ProgramBuilder builder;
  builder.AddUndo(UndoKind::kRename, aside, old);
  builder.AddUndo(UndoKind::kRmdir, made);
  builder.AddUndo(UndoKind::kUnlink, file);
  builder.AddUndo(UndoKind::kUnlink, old);
  Program program;
  CHECK(builder.Decode(program) == restore::Damage::kNone);
  StateMemory memory(program.header());
  const SharedState& state = memory.state();
  for (uint32_t undo = 0; undo < 4; undo++) {
    NoteBegun(program, state, undo);
    if (undo == 0) CHECK(rename(old.c_str(), aside.c_str()) == 0);
    if (undo == 1) CHECK(mkdir(made.c_str(), 0700) == 0);
    if (undo == 2) Touch(file);
    if (undo == 3) Touch(old);
    // The last one is killed in the middle.
    if (undo < 3) NoteDone(state, undo);
  }
  CHECK(state.undo[3].load() == static_cast<uint8_t>(UndoState::kBegunAbsent));
  UndoAll(program, state);
  CHECK(!Exists(made) && !Exists(aside) && Exists(old));
  CHECK(state.header->undo_stuck == 0);
  // Another process may do it again.
  UndoAll(program, state);
  CHECK(Exists(old));
}

// Nothing goes that was there before, that was not made, or whose operation has not begun.
void TestLeftAlone() {
  const std::string folder = MakeFolder();
  ProgramBuilder builder;
  const char* names[] = {"/before", "/failed", "/later"};
  for (const char* name : names) builder.AddUndo(UndoKind::kUnlink, folder + name);
  Program program;
  CHECK(builder.Decode(program) == restore::Damage::kNone);
  StateMemory memory(program.header());
  const SharedState& state = memory.state();
  Touch(folder + "/before");
  NoteBegun(program, state, 0);
  NoteDone(state, 0);
  NoteBegun(program, state, 1);
  NoteFailed(state, 1);
  Touch(folder + "/failed");
  Touch(folder + "/later");
  UndoAll(program, state);
  for (const char* name : names) CHECK(Exists(folder + name) && unlink((folder + name).c_str()) == 0);
  CHECK(rmdir(folder.c_str()) == 0);
}

// A name that cannot be taken away is told, and does not keep the others.
void TestStuck() {
  const std::string folder = MakeFolder();
  ProgramBuilder builder;
  builder.AddUndo(UndoKind::kUnlink, folder + "/file");
  builder.AddUndo(UndoKind::kRmdir, folder + "/full");
  Program program;
  CHECK(builder.Decode(program) == restore::Damage::kNone);
  StateMemory memory(program.header());
  const SharedState& state = memory.state();
  NoteBegun(program, state, 0);
  NoteBegun(program, state, 1);
  Touch(folder + "/file");
  CHECK(mkdir((folder + "/full").c_str(), 0700) == 0);
  Touch(folder + "/full/guest");
  UndoAll(program, state);
  CHECK(!Exists(folder + "/file") && Exists(folder + "/full"));
  CHECK(state.header->undo_stuck == 1 && state.header->undo_error == ENOTEMPTY);
  CHECK(state.undo[1].load() == static_cast<uint8_t>(UndoState::kStuck));
}

// A name that is renamed back never goes over another one.
void TestTakenMeanwhile() {
  const std::string folder = MakeFolder();
  const std::string aside = folder + "/aside";
  const std::string name = folder + "/name";
  ProgramBuilder builder;
  builder.AddUndo(UndoKind::kRename, aside, name);
  Program program;
  CHECK(builder.Decode(program) == restore::Damage::kNone);
  StateMemory memory(program.header());
  NoteBegun(program, memory.state(), 0);
  Touch(aside);
  Touch(name);
  UndoAll(program, memory.state());
  CHECK(Exists(aside) && Exists(name) && memory.state().header->undo_error == EEXIST);
}

}  // namespace

int main() {
  TestBackwards();
  TestLeftAlone();
  TestStuck();
  TestTakenMeanwhile();
  return 0;
}
