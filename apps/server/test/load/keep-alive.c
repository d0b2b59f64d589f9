/*
 * Keep-alive clients that notice a restart, if there is anything to notice.
 *
 *   keep-alive PORT SECONDS [KIND=COUNT ...]
 *
 * KIND: think (a request each 10 ms), hammer (without a pause), split (heads in three pieces), post (4 KiB in four
 * pieces), pipe (four requests at once), slow (answers that take 300 ms), idle (a request a second), quiet (a request in
 * the beginning, and one in the end), new (a connection for each request).
 *
 * The server answers GET and POST of /echo?id=N and /slow?ms=300&id=N with 200, a Content-Length, and a body that has
 * "id=N" and "pid=P". At the end, or at SIGTERM, a line of JSON is printed: requests that were answered, failures by
 * their class, those failures that came before the first answer of a connection (unserved), connections that have lived
 * from the first request to the last (survived), those of them that were answered by another process in the end than in
 * the beginning (moved), the longest time that a request took, slow and quiet ones aside, and the longest time in which
 * none was answered. At SIGUSR1 such a line is printed as well, and the two times begin anew: those of each line are of
 * what was answered since the line before. Exit status 1 when anything has failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum kind { THINK, HAMMER, SPLIT, POST, PIPE, SLOW, IDLE, QUIET, NEW, KINDS };
static const char *const kind_names[] = {"think", "hammer", "split", "post", "pipe", "slow", "idle", "quiet", "new"};

enum failure { EOF_BEFORE, TRUNCATED, RESET, REFUSED, BAD_STATUS, CORRUPT, TIMEOUT, FAILURES };
static const char *const failure_names[] = {"eof", "truncated", "reset", "refused", "status", "corrupt", "timeout"};

enum { MOST_PIPED = 4, BODY = 4096, ROOM = 16384, TIMEOUT_MS = 10000, LOOK_MS = 100, PIECE_MS = 2 };
/* Milliseconds from one quiet client to the next, that they do not come all at once. */
static const double QUIET_MS = 0.1;

struct client {
  enum kind kind;
  int fd;
  int connected;   /* the first connect has succeeded */
  int served;      /* this connection has had an answer */
  int last;        /* at the end: one more request */
  int lost;        /* its first connection has ended */
  int closing;     /* the server has announced it */
  long first_pid, last_pid;
  unsigned id[MOST_PIPED];
  int owed;        /* responses */
  char *out, *in;  /* of ROOM bytes */
  int out_size, out_at, piece; /* piece: bytes that go at once, 0 for all */
  double sent_at;
  int in_size;
};

static struct client *clients;
static double *due; /* when a client does something, 0 for never; apart, since it is looked at all the time */
static int client_count, epoll_fd, port;
static unsigned last_id;
static long requests, failures[FAILURES], closed_idle, announced, unserved;
static double longest, gap, last_answer;
static volatile sig_atomic_t over, marked;

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static void end(int signal) {
  (void)signal;
  over = 1;
}

static void mark(int signal) {
  (void)signal;
  marked = 1;
}

static void wake_at(const struct client *client, double time) { due[client - clients] = time; }

static void watch(struct client *client, uint32_t events, int operation) {
  struct epoll_event event = {.events = events, .data.ptr = client};
  epoll_ctl(epoll_fd, operation, client->fd, &event);
}

static void lose(struct client *client, int failure) {
  if (failure >= 0) {
    ++failures[failure];
    if (!client->served) ++unserved;
  }
  if (client->kind != NEW && client->connected) client->lost = 1;
  close(client->fd);
  client->fd = -1;
  client->owed = client->out_size = client->out_at = client->last = 0;
  wake_at(client, now() + (failure >= 0 ? 10 : 0.01));
}

static void open_connection(struct client *client) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  client->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  client->in_size = client->out_size = client->out_at = client->owed = client->closing = client->served = 0;
  if (connect(client->fd, (struct sockaddr *)&address, sizeof address) != 0 && errno != EINPROGRESS) {
    lose(client, REFUSED);
    return;
  }
  watch(client, EPOLLIN, EPOLL_CTL_ADD);
  wake_at(client, now());
}

static void pause_client(struct client *client) {
  static const double pauses[KINDS] = {[THINK] = 10, [SPLIT] = 10, [POST] = 10, [PIPE] = 10, [SLOW] = 10, [IDLE] = 1000};
  wake_at(client, client->kind == QUIET ? 0 : now() + pauses[client->kind] + 0.001);
}

static void compose(struct client *client) {
  const int count = client->kind == PIPE ? MOST_PIPED : 1;
  client->out_size = client->out_at = 0;
  for (int i = 0; i < count; ++i) {
    client->id[i] = ++last_id;
    char *to = client->out + client->out_size;
    const size_t room = ROOM - (size_t)client->out_size;
    if (client->kind == POST) {
      client->out_size += snprintf(to, room, "POST /echo?id=%u HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n",
                                   client->id[i], BODY);
      memset(client->out + client->out_size, 'x', BODY);
      client->out_size += BODY;
    } else {
      const char *path = client->kind == SLOW ? "/slow?ms=300&id=" : "/echo?id=";
      client->out_size += snprintf(to, room, "GET %s%u HTTP/1.1\r\nHost: a\r\nUser-Agent: keep-alive\r\n%s\r\n", path,
                                   client->id[i], client->kind == NEW ? "Connection: close\r\n" : "");
    }
  }
  client->owed = count;
  client->piece = client->kind == SPLIT ? client->out_size / 3 + 1 : client->kind == POST ? client->out_size / 4 + 1 : 0;
  client->sent_at = now();
}

static void send_some(struct client *client) {
  int size = client->out_size - client->out_at;
  if (client->piece > 0 && size > client->piece) size = client->piece;
  const ssize_t sent = send(client->fd, client->out + client->out_at, (size_t)size, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno == EAGAIN) wake_at(client, now() + 1);
    else lose(client, errno == ECONNREFUSED ? REFUSED : RESET);
    return;
  }
  client->connected = 1;
  client->out_at += (int)sent;
  if (client->out_at < client->out_size) wake_at(client, now() + PIECE_MS);
  else if (client->owed == 0) pause_client(client);
}

/* 1 when there was a response, 0 when more has to come, -1 when it is wrong. */
static int take_response(struct client *client, int index) {
  client->in[client->in_size] = 0;
  char *head_end = strstr(client->in, "\r\n\r\n");
  if (head_end == NULL) return 0;
  const int status = client->in_size > 12 ? atoi(client->in + 9) : 0;
  char *length_at = strcasestr(client->in, "\r\ncontent-length:");
  if (length_at == NULL || length_at > head_end) return -1;
  const int head = (int)(head_end - client->in) + 4;
  const int size = head + atoi(length_at + 17);
  if (size >= ROOM) return -1;
  if (client->in_size < size) return 0;
  char *close_at = strcasestr(client->in, "\r\nconnection: close");
  if (close_at != NULL && close_at < head_end) client->closing = 1;
  const char kept = client->in[size];
  client->in[size] = 0;
  char expected[32];
  /* With what is before it: "pid=" ends like it. */
  snprintf(expected, sizeof expected, "%cid=%u", client->kind == SLOW ? '&' : '?', client->id[index]);
  const char *pid_at = strstr(client->in + head, "pid=");
  const char *id_at = strstr(client->in + head, expected);
  if (status != 200) {
    ++failures[BAD_STATUS];
  } else if (pid_at == NULL || id_at == NULL || (id_at[strlen(expected)] >= '0' && id_at[strlen(expected)] <= '9')) {
    ++failures[CORRUPT];
  } else {
    client->last_pid = atol(pid_at + 4);
    if (client->first_pid == 0) client->first_pid = client->last_pid;
    client->served = 1;
    ++requests;
  }
  client->in[size] = kept;
  memmove(client->in, client->in + size, (size_t)(client->in_size - size));
  client->in_size -= size;
  return 1;
}

static void note_answer(struct client *client, double time) {
  const int counts = client->kind != SLOW && client->kind != QUIET;
  if (counts && time - client->sent_at > longest) longest = time - client->sent_at;
  if (last_answer > 0 && time - last_answer > gap) gap = time - last_answer;
  last_answer = time;
}

static void receive(struct client *client) {
  const ssize_t got = recv(client->fd, client->in + client->in_size, (size_t)(ROOM - 1 - client->in_size), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    const int idle = client->owed == 0;
    if (idle) client->closing ? ++announced : ++closed_idle;
    lose(client, idle ? -1 : got < 0 ? RESET : client->in_size > 0 ? TRUNCATED : EOF_BEFORE);
    return;
  }
  client->in_size += (int)got;
  while (client->owed > 0) {
    const int total = client->kind == PIPE ? MOST_PIPED : 1;
    const int result = take_response(client, total - client->owed);
    if (result == 0) return;
    if (result < 0) {
      lose(client, CORRUPT);
      return;
    }
    note_answer(client, now());
    --client->owed;
  }
  if (client->closing || client->kind == NEW) {
    if (client->kind != NEW) ++announced;
    lose(client, -1);
    return;
  }
  /* The answer may have come before the end of the request: what is left of that goes out first. */
  if (client->out_at == client->out_size) pause_client(client);
}

/* Quiet clients ask once more, one after the other. */
static void begin_end(double time) {
  for (int i = 0; i < client_count; ++i) {
    struct client *client = &clients[i];
    if (client->kind != QUIET || client->fd < 0 || client->owed > 0) continue;
    client->last = 1;
    due[i] = time + i * QUIET_MS;
  }
}

/* Whether somebody waits for a response, or is to ask yet. Who has waited for too long gives up. */
static int look_for_owed(double time) {
  int owed = 0;
  for (int i = 0; i < client_count; ++i) {
    struct client *client = &clients[i];
    if (client->owed > 0 && time - client->sent_at > TIMEOUT_MS) lose(client, TIMEOUT);
    owed += client->owed + client->last;
  }
  return owed > 0;
}

static void turn(struct client *client) {
  wake_at(client, 0);
  if (client->fd < 0) {
    open_connection(client);
    return;
  }
  if (client->owed == 0) {
    if (client->out_at == client->out_size) {
      if (over && !client->last) return;
      client->last = 0;
      compose(client);
    }
  }
  send_some(client);
}

static void add_clients(enum kind kind, int count) {
  const int all = client_count + count;
  clients = realloc(clients, sizeof *clients * (size_t)all);
  due = realloc(due, sizeof *due * (size_t)all);
  if (clients == NULL || due == NULL) exit(2);
  for (; client_count < all; ++client_count) {
    struct client *client = &clients[client_count];
    memset(client, 0, sizeof *client);
    client->kind = kind;
    client->fd = -1;
    client->out = malloc(ROOM);
    client->in = malloc(ROOM);
    if (client->out == NULL || client->in == NULL) exit(2);
    due[client_count] = kind == QUIET ? now() + client_count * QUIET_MS : 0.001;
  }
}

/* How many have failed. */
static long report(void) {
  long failed = 0;
  int kept = 0, survived = 0, moved = 0;
  for (int i = 0; i < FAILURES; ++i) failed += failures[i];
  for (int i = 0; i < client_count; ++i) {
    if (clients[i].kind == NEW) continue;
    ++kept;
    if (clients[i].lost || clients[i].first_pid == 0) continue;
    ++survived;
    if (clients[i].first_pid != clients[i].last_pid) ++moved;
  }
  printf("{\"requests\":%ld,\"failed\":%ld,\"connections\":%d,\"survived\":%d,\"moved\":%d,\"longest\":%.1f,\"gap\":%.1f,"
         "\"closedIdle\":%ld,\"announced\":%ld,\"unserved\":%ld",
         requests, failed, kept, survived, moved, longest, gap, closed_idle, announced, unserved);
  for (int i = 0; i < FAILURES; ++i) printf(",\"%s\":%ld", failure_names[i], failures[i]);
  printf("}\n");
  fflush(stdout);
  longest = gap = 0;
  return failed;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: keep-alive PORT SECONDS KIND=COUNT ...\n");
    return 2;
  }
  port = atoi(argv[1]);
  for (int i = 3; i < argc; ++i) {
    char *equals = strchr(argv[i], '=');
    int kind = 0;
    if (equals != NULL) *equals = 0;
    while (kind < KINDS && strcmp(argv[i], kind_names[kind]) != 0) ++kind;
    if (equals == NULL || kind == KINDS) {
      fprintf(stderr, "keep-alive: no kind %s\n", argv[i]);
      return 2;
    }
    add_clients((enum kind)kind, atoi(equals + 1));
  }
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  signal(SIGTERM, end);
  signal(SIGINT, end);
  signal(SIGUSR1, mark);
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  const double last = now() + atof(argv[2]) * 1e3;
  double next_turn = 0, next_look = 0;
  int ending = 0;
  for (;;) {
    struct epoll_event events[256];
    const int count = epoll_wait(epoll_fd, events, 256, 1);
    for (int i = 0; i < count; ++i) receive(events[i].data.ptr);
    const double time = now();
    if (time >= last) over = 1;
    if (marked) {
      marked = 0;
      report();
    }
    if (time < next_turn) continue;
    next_turn = time + 0.5;
    if (over && !ending) {
      ending = 1;
      begin_end(time);
    }
    for (int i = 0; i < client_count; ++i)
      if (due[i] != 0 && due[i] <= time) turn(&clients[i]);
    if (time < next_look && !ending) continue;
    next_look = time + LOOK_MS;
    /* Whoever waits for a response waits for it to the end. */
    if (!look_for_owed(time) && ending) break;
  }
  return report() > 0 ? 1 : 0;
}
