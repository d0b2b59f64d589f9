// What @x/kevent is measured against: threads that share one epoll instance, EPOLLONESHOT and EPOLL_CTL_MOD.
//
//   epoll deliver|pingpong THREADS BATCH WARM_MS MS   {"events","cpu","wall"}: cpu and wall in ns
//   epoll wake THREADS BATCH FD                       descriptors 3 to 3 + FD - 1 bring stamps until their
//   end epoll drive EVENTS GAP_US FD BURST                writes stamps to 3 to 3 + FD - 1: to the next one,
//   or,
//                                                     when BURST is 1, to all, the first marked as slow
//   epoll memory DESCRIPTORS                          {"user","slab"}: bytes for each registered descriptor
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { kMostThreads = 16, kMostBatch = 256, kReady = 64, kPairs = 64, kMostStamps = 100000 };

static int64_t Now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int64_t Cpu(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  const int64_t seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec;
  return (seconds * 1000000 + usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

static void Pause(int64_t microseconds) {
  const struct timespec pause = {microseconds / 1000000, microseconds % 1000000 * 1000};
  nanosleep(&pause, NULL);
}

static void Check(int result, const char* what) {
  if (result >= 0) return;
  fprintf(stderr, "epoll: %s: %s\n", what, strerror(errno));
  exit(1);
}

struct Thread {
  pthread_t id;
  _Atomic int64_t events;
  char apart[128];
};

static struct Thread threads[kMostThreads];
static int epoll;
static int batch;
static int io;  // read and write as well
static int open_descriptors;
static _Atomic int stamps;
static double latencies[kMostStamps];

static void Rearm(int descriptor) {
  struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.fd = descriptor}};
  Check(epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event), "epoll_ctl");
}

static void Add(int descriptor) {
  struct epoll_event event = {EPOLLIN | EPOLLONESHOT, {.fd = descriptor}};
  Check(epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event), "epoll_ctl");
}

static void* Serve(void* argument) {
  struct Thread* self = argument;
  struct epoll_event events[kMostBatch];
  for (;;) {
    const int count = epoll_wait(epoll, events, batch, -1);
    for (int index = 0; index < count; index++) {
      char buffer[64];
      const int descriptor = events[index].data.fd;
      const ssize_t got = io ? read(descriptor, buffer, sizeof(buffer)) : 0;
      if (got > 0) Check(write(descriptor, buffer, got), "write");
      Rearm(descriptor);
    }
    if (count > 0) atomic_fetch_add_explicit(&self->events, count, memory_order_relaxed);
  }
  return NULL;
}

static void* TakeStamps(void* argument) {
  (void)argument;
  struct epoll_event events[kMostBatch];
  for (;;) {
    const int count = epoll_wait(epoll, events, batch, -1);
    for (int index = 0; index < count; index++) {
      int64_t stamp = 0;
      const int descriptor = events[index].data.fd;
      if (read(descriptor, &stamp, sizeof(stamp)) != sizeof(stamp)) {  // the driver has gone
        Rearm(descriptor);  // for the others to see it, too: this batch may hold all ends
        return NULL;
      }
      const int at = atomic_fetch_add(&stamps, 1);
      latencies[at % kMostStamps] = (stamp & 1) != 0 ? -1 : (double)(Now() - stamp);
      if ((stamp & 1) != 0) {
        for (const int64_t end = Now() + 20000000; Now() < end;) {
        }
      }
      Rearm(descriptor);
    }
  }
}

static int64_t Events(int count) {
  int64_t sum = 0;
  for (int index = 0; index < count; index++) sum += atomic_load(&threads[index].events);
  return sum;
}

static int Load(int count, int warm, int milliseconds) {
  const char token = 1;
  for (int index = 0; index < (io ? kPairs : kReady); index++) {
    int pair[2] = {-1, -1};
    if (io) {
      Check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), "socketpair");
      Check(write(pair[0], &token, 1), "write");
      Add(pair[1]);
    } else {
      Check(pair[0] = eventfd(1, EFD_NONBLOCK), "eventfd");
    }
    Add(pair[0]);
  }
  for (int index = 0; index < count; index++)
    pthread_create(&threads[index].id, NULL, Serve, &threads[index]);
  Pause(warm * 1000);
  const int64_t events = Events(count);
  const int64_t cpu = Cpu();
  const int64_t wall = Now();
  Pause(milliseconds * 1000);
  printf("{\"events\":%lld,\"cpu\":%lld,\"wall\":%lld}\n", (long long)(Events(count) - events),
         (long long)(Cpu() - cpu), (long long)(Now() - wall));
  return 0;
}

static int Wake(int count, int descriptors) {
  open_descriptors = descriptors;
  for (int descriptor = 3; descriptor < 3 + descriptors; descriptor++) Add(descriptor);
  const int64_t cpu = Cpu();
  for (int index = 0; index < count; index++) {
    pthread_create(&threads[index].id, NULL, TakeStamps, &threads[index]);
  }
  // Every thread meets an end; the first tells that all are over.
  pthread_join(threads[0].id, NULL);
  printf("{\"cpu\":%lld,\"latencies\":[", (long long)(Cpu() - cpu));
  for (int index = 0, first = 1; index < stamps; index++) {
    if (latencies[index] < 0) continue;
    printf(first ? "%.0f" : ",%.0f", latencies[index]);
    first = 0;
  }
  printf("]}\n");
  return 0;
}

static int Drive(int events, int gap, int descriptors, int burst) {
  Pause(300000);  // until the others sleep
  for (int index = 0; index < events; index++) {
    Pause(gap);
    for (int at = burst ? 0 : index % descriptors; at < descriptors; at++) {
      const int64_t stamp = (Now() & ~1LL) | (burst && at == 0);
      Check(write(3 + at, &stamp, sizeof(stamp)), "write");
      if (!burst) break;
    }
  }
  Pause(100000);
  return 0;
}

static long SlabBytes(void) {
  FILE* file = fopen("/proc/slabinfo", "r");
  if (file == NULL) return -1;
  char line[512];
  long sum = 0;
  while (fgets(line, sizeof(line), file) != NULL) {
    char name[64];
    long active = 0;
    long total = 0;
    long size = 0;
    if (sscanf(line, "%63s %ld %ld %ld", name, &active, &total, &size) == 4 &&
        strncmp(name, "eventpoll", 9) == 0)
      sum += active * size;
  }
  fclose(file);
  return sum;
}

static int Memory(int count) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  int* descriptors = malloc(sizeof(int) * (size_t)count);
  for (int index = 0; index < count; index++) Check(descriptors[index] = eventfd(0, 0), "eventfd");
  const long slab = SlabBytes();
  const int64_t cpu = Cpu();
  for (int index = 0; index < count; index++) Add(descriptors[index]);
  const double added = (double)(Cpu() - cpu) / count;
  const double each = slab < 0 ? -1 : (double)(SlabBytes() - slab) / count;
  printf("{\"user\":0,\"slab\":%.1f,\"add\":%.0f}\n", each, added);
  return 0;
}

static int Argument(char** arguments, int count, int index) {
  return index < count ? atoi(arguments[index]) : 0;
}

int main(int count, char** arguments) {
  const char* what = count > 1 ? arguments[1] : "";
  const int first = Argument(arguments, count, 2);
  const int second = Argument(arguments, count, 3);
  const int third = Argument(arguments, count, 4);
  const int fourth = Argument(arguments, count, 5);
  batch = second;
  io = strcmp(what, "pingpong") == 0;
  Check(epoll = epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  if (io || strcmp(what, "deliver") == 0) return Load(first, third, fourth);
  close(epoll);
  if (strcmp(what, "drive") == 0) return Drive(first, second, third, fourth);
  // Above the descriptors that were handed over.
  Check(epoll = epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  if (strcmp(what, "wake") == 0) return Wake(first, third);
  if (strcmp(what, "memory") == 0) return Memory(first);
  fprintf(stderr, "epoll: see the head of epoll.c\n");
  return 2;
}
