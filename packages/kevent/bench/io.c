// What the measured programs do with an event, at the price that it has in epoll.c: a batch in one call, no
// JavaScript between a read and its write. Descriptors are read from the records of a KEventList.
#define _GNU_SOURCE
#include <malloc.h>
#include <node_api.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kRecord = 32 };

static int64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static napi_value Number(napi_env env, double value) {
  napi_value result = NULL;
  napi_create_double(env, value, &result);
  return result;
}

static int Arguments(napi_env env, napi_callback_info info, napi_value* argv, size_t count) {
  return napi_get_cb_info(env, info, &count, argv, NULL, NULL) == napi_ok;
}

static void* Memory(napi_env env, napi_value array) {
  void* data = NULL;
  napi_get_typedarray_info(env, array, NULL, NULL, &data, NULL, NULL);
  return data;
}

static int Ident(const char* records, int index) {
  int64_t ident = 0;
  memcpy(&ident, records + (size_t)index * kRecord, sizeof(ident));
  return (int)ident;
}

// echo(records, count): reads what is there and writes it back, for each record. Returns how many had
// nothing.
static napi_value Echo(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int32_t count = 0;
  int32_t empty = 0;
  Arguments(env, info, argv, 2);
  napi_get_value_int32(env, argv[1], &count);
  const char* records = Memory(env, argv[0]);
  for (int index = 0; index < count; index++) {
    char buffer[64];
    const ssize_t got = read(Ident(records, index), buffer, sizeof(buffer));
    if (got <= 0 || write(Ident(records, index), buffer, (size_t)got) != got) empty++;
  }
  return Number(env, empty);
}

// stamp(descriptor): reads a stamp; ns since then, -1 for a slow one (see epoll.c), -2 when there is none.
static napi_value Stamp(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int32_t descriptor = 0;
  int64_t stamp = 0;
  Arguments(env, info, argv, 1);
  napi_get_value_int32(env, argv[0], &descriptor);
  if (read(descriptor, &stamp, sizeof(stamp)) != sizeof(stamp)) return Number(env, -2);
  return Number(env, (stamp & 1) != 0 ? -1 : (double)(Now() - stamp));
}

// now(): CLOCK_MONOTONIC in ns, the same in every thread.
static napi_value NowNumber(napi_env env, napi_callback_info info) {
  (void)info;
  return Number(env, (double)Now());
}

// heap(): bytes that malloc(3) has given out in this process. V8's heap is not among them.
static napi_value Heap(napi_env env, napi_callback_info info) {
  (void)info;
  const struct mallinfo2 now = mallinfo2();
  return Number(env, (double)(now.uordblks + now.hblkhd));
}

// open(count, pairs): descriptors of `count` socket pairs that have one byte under way each, or of `count`
// eventfds with the value 1.
static napi_value Open(napi_env env, napi_callback_info info) {
  napi_value argv[2];
  int32_t count = 0;
  bool pairs = false;
  Arguments(env, info, argv, 2);
  napi_get_value_int32(env, argv[0], &count);
  napi_get_value_bool(env, argv[1], &pairs);
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  napi_value list = NULL;
  napi_create_array(env, &list);
  uint32_t length = 0;
  for (int index = 0; index < count; index++) {
    int made[2] = {-1, -1};
    if (pairs) {
      const char token = 1;
      if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, made) < 0) break;
      if (write(made[0], &token, 1) < 0) break;
    } else if ((made[0] = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)) < 0) {
      break;
    }
    for (int end = 0; end < (pairs ? 2 : 1); end++)
      napi_set_element(env, list, length++, Number(env, made[end]));
  }
  return list;
}

// pairs(count): the two ends of `count` socket pairs, one after the other. For a parent to hand over.
static napi_value Pairs(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  int32_t count = 0;
  Arguments(env, info, argv, 1);
  napi_get_value_int32(env, argv[0], &count);
  napi_value list = NULL;
  napi_create_array(env, &list);
  for (int index = 0; index < count; index++) {
    int made[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, made) < 0) break;
    for (int end = 0; end < 2; end++)
      napi_set_element(env, list, (uint32_t)(index * 2 + end), Number(env, made[end]));
  }
  return list;
}

// close(descriptors)
static napi_value Close(napi_env env, napi_callback_info info) {
  napi_value argv[1];
  uint32_t length = 0;
  Arguments(env, info, argv, 1);
  napi_get_array_length(env, argv[0], &length);
  for (uint32_t index = 0; index < length; index++) {
    napi_value element = NULL;
    int32_t descriptor = -1;
    napi_get_element(env, argv[0], index, &element);
    napi_get_value_int32(env, element, &descriptor);
    close(descriptor);
  }
  return NULL;
}

static void Define(napi_env env, napi_value exports, const char* name, napi_callback function) {
  napi_value value = NULL;
  napi_create_function(env, name, NAPI_AUTO_LENGTH, function, NULL, &value);
  napi_set_named_property(env, exports, name, value);
}

NAPI_MODULE_INIT() {
  Define(env, exports, "echo", Echo);
  Define(env, exports, "stamp", Stamp);
  Define(env, exports, "now", NowNumber);
  Define(env, exports, "heap", Heap);
  Define(env, exports, "open", Open);
  Define(env, exports, "pairs", Pairs);
  Define(env, exports, "close", Close);
  return exports;
}
