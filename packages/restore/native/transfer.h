// Bytes and descriptors that a task puts into files, pipes and sockets: all of them, or it fails. Nothing
// waits for a descriptor that is non-blocking and full: EAGAIN is an error, because nobody would read.
#pragma once

#include <cstddef>
#include <cstdint>

#include "result.h"

namespace restore {

Result WriteAll(int descriptor, const void* data, size_t size);

struct FilePart {
  const char* path;
  int64_t offset;
  int64_t size;  // -1: to the end of the file
};

// Copies a part of a file: to this offset of `descriptor`, with its holes, or with -1 by write(2). ENODATA
// when the file is shorter than that.
Result CopyFile(int descriptor, const FilePart& part, int64_t to);

struct Letter {
  const void* data;
  size_t size;
  const int* rights;
  uint32_t rights_count;  // at most 253
  const void* address;
  uint32_t address_size;
  int flags;
};

Result Send(int socket, const Letter& letter);

}  // namespace restore
