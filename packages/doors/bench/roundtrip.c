// What calls of a door are measured against: a request and its reply between two processes, with nothing but
// what the kernel asks for.
//
//   roundtrip seqpacket|pieces|futex|spin BYTES DESCRIPTORS WARM SECONDS CPUS CPUS
//     BYTES each way, and 0 or 1 descriptor with the request, which its receiver closes. CPUS are those of
//     the client, and of the server: numbers with commas between them. Prints {"calls","wall","cpu"}: of
//     both, in µs.
//   roundtrip many CLIENTS BYTES SECONDS
//     That many processes over seqpacket against one that waits by epoll. Prints {"rate"}: calls a second.
//
// seqpacket has each message in one packet, and a buffer of the socket that is large enough, where
// net.core.wmem_max allows it; pieces has packets of 64 KiB and the usual buffer, as the protocol of doors
// has. futex and spin have two processes and one piece of shared memory. Each side copies in and out, as a
// server does that does not trust its client. Who waits in spin looks SPINS times before it sleeps.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 1 << 20, PIECE = 1 << 16, SPINS = 20000, MOST_CLIENTS = 64, LOOK = 16 };

static void fail(const char* what) {
  fprintf(stderr, "roundtrip: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds_of(clockid_t clock) {
  struct timespec at;
  if (clock_gettime(clock, &at) != 0) fail("clock_gettime");
  return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static void run_on(const char* list) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const char* at = list; *at != '\0';) {
    char* end;
    CPU_SET(strtoul(at, &end, 10), &set);
    if (end == at) break;
    at = *end == ',' ? end + 1 : end;
  }
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("sched_setaffinity");
}

/** One side of a pair: it writes whole messages, and reads whole ones. */
struct Side {
  void (*send)(struct Side*, size_t bytes, int descriptor);
  int (*receive)(struct Side*, size_t bytes);  // 0 when the other one has gone
  int socket;
  size_t piece;
  struct Box* out;
  struct Box* in;
  char* data;  // of both boxes
  uint32_t seen;
  int spins;
  char* own;
};

// Packets.

static void send_packets(struct Side* side, size_t bytes, int descriptor) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  for (size_t done = 0; done < bytes;) {
    struct iovec part = {side->own + done, bytes - done < side->piece ? bytes - done : side->piece};
    ssize_t sent;
    if (descriptor < 0) {
      sent = send(side->socket, part.iov_base, part.iov_len, MSG_NOSIGNAL);
    } else {
      struct msghdr header = {
          .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
      struct cmsghdr* rights = CMSG_FIRSTHDR(&header);
      rights->cmsg_level = SOL_SOCKET;
      rights->cmsg_type = SCM_RIGHTS;
      rights->cmsg_len = CMSG_LEN(sizeof(int));
      memcpy(CMSG_DATA(rights), &descriptor, sizeof descriptor);
      sent = sendmsg(side->socket, &header, MSG_NOSIGNAL);
      descriptor = -1;
    }
    if (sent < 0) fail("send");
    done += (size_t)sent;
  }
}

/** The most of a message of so many bytes that a packet can have, when the buffers are made for it. */
static size_t widest(const int* ends, size_t bytes) {
  if (bytes <= PIECE) return PIECE;
  for (int end = 0; end < 2; end++) {
    // The kernel doubles it, for its own needs: a packet of the wanted size has room then.
    int wanted = (int)bytes;
    int got = 0;
    socklen_t size = sizeof got;
    if (setsockopt(ends[end], SOL_SOCKET, SO_SNDBUF, &wanted, sizeof wanted) != 0) fail("setsockopt");
    if (getsockopt(ends[end], SOL_SOCKET, SO_SNDBUF, &got, &size) != 0) fail("getsockopt");
    if (got < 2 * wanted) return PIECE;
  }
  return bytes;
}

static int receive_packets(struct Side* side, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    ssize_t got = recv(side->socket, side->own + done, bytes - done, 0);
    if (got < 0) fail("recv");
    if (got == 0) return 0;
    done += (size_t)got;
  }
  return 1;
}

static int receive_rights(struct Side* side, size_t bytes) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
  } control;
  struct iovec part = {side->own, bytes};
  struct msghdr header = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  ssize_t got = recvmsg(side->socket, &header, MSG_CMSG_CLOEXEC);
  if (got < 0) fail("recvmsg");
  if (got == 0) return 0;
  struct cmsghdr* rights = CMSG_FIRSTHDR(&header);
  int descriptor = -1;
  if (rights == NULL) fail("no descriptor");
  memcpy(&descriptor, CMSG_DATA(rights), sizeof descriptor);
  if (close(descriptor) != 0) fail("close");
  return 1;
}

// Shared memory.

struct Box {
  _Alignas(64) _Atomic uint32_t turn;  // messages so far
  _Atomic uint32_t sleeps;             // whether who waits for the next one does so in the kernel
};

static void send_memory(struct Side* side, size_t bytes, int descriptor) {
  (void)descriptor;
  memcpy(side->data, side->own, bytes);
  atomic_fetch_add(&side->out->turn, 1);
  if (atomic_exchange(&side->out->sleeps, 0) == 0) return;
  if (syscall(SYS_futex, &side->out->turn, FUTEX_WAKE, 1, NULL, NULL, 0) < 0) fail("futex");
}

static int receive_memory(struct Side* side, size_t bytes) {
  for (int spin = 0; spin < side->spins && atomic_load(&side->in->turn) == side->seen; spin++) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }
  while (atomic_load(&side->in->turn) == side->seen) {
    atomic_store(&side->in->sleeps, 1);  // before the kernel compares: who posts after that sees it
    syscall(SYS_futex, &side->in->turn, FUTEX_WAIT, side->seen, NULL, NULL, 0);
  }
  atomic_store(&side->in->sleeps, 0);
  side->seen++;
  memcpy(side->own, side->data, bytes);
  return 1;
}

static void* memory(size_t bytes, int flags) {
  void* mapped = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (mapped == MAP_FAILED) fail("mmap");
  return mapped;
}

/** A process that ends with this one. */
static pid_t start(void) {
  pid_t parent = getpid();
  pid_t child = fork();
  if (child < 0) fail("fork");
  if (child == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) exit(1);
  return child;
}

static long calls_until(struct Side* side, size_t bytes, int descriptor, double seconds) {
  double end = seconds_of(CLOCK_MONOTONIC) + seconds;
  long calls = 0;
  do {
    for (int i = 0; i < LOOK; i++) {
      side->send(side, bytes, descriptor);
      if (!side->receive(side, bytes)) fail("the server has gone");
    }
    calls += LOOK;
  } while (seconds_of(CLOCK_MONOTONIC) < end);
  return calls;
}

static void pair(char** argv) {
  size_t bytes = strtoul(argv[1], NULL, 10);
  int descriptors = atoi(argv[2]);
  int whole = strcmp(argv[0], "seqpacket") == 0;
  int packets = whole || strcmp(argv[0], "pieces") == 0;
  if (bytes < 1 || bytes > MOST || (descriptors > 0 && (!packets || bytes > PIECE))) fail("arguments");
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) fail("socketpair");
  struct Box* boxes = memory(2 * sizeof(struct Box), MAP_SHARED);
  struct Side side = {
      .send = packets ? send_packets : send_memory,
      .receive = packets ? receive_packets : receive_memory,
      .socket = ends[0],
      .piece = whole ? widest(ends, bytes) : PIECE,
      .out = &boxes[0],
      .in = &boxes[1],
      .data = memory(MOST, MAP_SHARED),
      .spins = strcmp(argv[0], "spin") == 0 ? SPINS : 0,
      .own = memory(MOST, MAP_PRIVATE),
  };
  pid_t child = start();
  if (child == 0) {
    run_on(argv[6]);
    side.own = memory(MOST, MAP_PRIVATE);
    close(ends[0]);
    side.socket = ends[1];
    side.out = &boxes[1];
    side.in = &boxes[0];
    if (descriptors > 0) side.receive = receive_rights;
    while (side.receive(&side, bytes)) side.send(&side, bytes, -1);
    exit(0);
  }
  run_on(argv[5]);
  close(ends[1]);
  clockid_t server;
  if (clock_getcpuclockid(child, &server) != 0) fail("clock_getcpuclockid");
  int descriptor = descriptors > 0 ? open("/dev/null", O_RDONLY | O_CLOEXEC) : -1;
  calls_until(&side, bytes, descriptor, atof(argv[3]));
  double wall = seconds_of(CLOCK_MONOTONIC);
  double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) + seconds_of(server);
  long calls = calls_until(&side, bytes, descriptor, atof(argv[4]));
  wall = seconds_of(CLOCK_MONOTONIC) - wall;
  cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) + seconds_of(server) - cpu;
  kill(child, SIGKILL);
  printf("{\"calls\":%ld,\"wall\":%.4f,\"cpu\":%.4f}\n", calls, wall * 1e6 / (double)calls,
         cpu * 1e6 / (double)calls);
}

// Many clients.

struct Count {
  _Atomic int ready;
  _Atomic int go;
  double rates[MOST_CLIENTS];
};

static void serve_many(int epoll, struct Side* side, size_t bytes, int clients) {
  while (clients > 0) {
    struct epoll_event events[MOST_CLIENTS];
    int count = epoll_wait(epoll, events, MOST_CLIENTS, -1);
    if (count < 0) fail("epoll_wait");
    for (int i = 0; i < count; i++) {
      side->socket = events[i].data.fd;
      if (side->receive(side, bytes)) {
        side->send(side, bytes, -1);
      } else {
        // Clients that were forked later have this end too: to close it is not enough for the kernel to
        // forget it.
        epoll_ctl(epoll, EPOLL_CTL_DEL, side->socket, NULL);
        close(side->socket);
        clients--;
      }
    }
  }
}

static void many(char** argv) {
  int clients = atoi(argv[1]);
  size_t bytes = strtoul(argv[2], NULL, 10);
  if (clients < 1 || clients > MOST_CLIENTS || bytes < 1 || bytes > PIECE) fail("arguments");
  struct Count* count = memory(sizeof(struct Count), MAP_SHARED);
  struct Side side = {
      .send = send_packets, .receive = receive_packets, .piece = PIECE, .own = memory(MOST, MAP_PRIVATE)};
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  for (int client = 0; client < clients; client++) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
    if (start() == 0) {
      close(ends[0]);
      side.socket = ends[1];
      calls_until(&side, bytes, -1, 0.05);
      atomic_fetch_add(&count->ready, 1);
      while (atomic_load(&count->go) == 0) calls_until(&side, bytes, -1, 0.001);
      double begun = seconds_of(CLOCK_MONOTONIC);
      long calls = calls_until(&side, bytes, -1, atof(argv[3]));
      count->rates[client] = (double)calls / (seconds_of(CLOCK_MONOTONIC) - begun);
      exit(0);
    }
    close(ends[1]);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = ends[0]};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, ends[0], &event) != 0) fail("epoll_ctl");
  }
  if (start() == 0) {
    while (atomic_load(&count->ready) < clients) usleep(1000);
    atomic_store(&count->go, 1);
    exit(0);
  }
  serve_many(epoll, &side, bytes, clients);
  double rate = 0;
  for (int client = 0; client < clients; client++) rate += count->rates[client];
  printf("{\"rate\":%.0f}\n", rate);
}

int main(int argc, char** argv) {
  if (argc == 8 && strcmp(argv[1], "many") != 0) {
    pair(argv + 1);
  } else if (argc == 5 && strcmp(argv[1], "many") == 0) {
    many(argv + 1);
  } else {
    fprintf(stderr, "usage: see the head of roundtrip.c\n");
    return 2;
  }
  return 0;
}
