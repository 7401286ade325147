#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

int cairn_fallocate(int descriptor, int64_t offset, int64_t length) {
  return fallocate(descriptor, 0, offset, length);
}

int cairn_fallocate_keep_size(int descriptor, int64_t offset, int64_t length) {
  return fallocate(descriptor, FALLOC_FL_KEEP_SIZE, offset, length);
}

int cairn_punch_hole(int descriptor, int64_t offset, int64_t length) {
  return fallocate(descriptor, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
}

int cairn_write_back(int descriptor, int64_t offset, int64_t length) {
  return sync_file_range(descriptor, offset, length, SYNC_FILE_RANGE_WRITE);
}

int cairn_has_writer(int descriptor) {
  // Whoever opens it for writing while the lease is held waits for its end, and its holder is told; by a signal that does nothing.
  if (fcntl(descriptor, F_SETSIG, SIGURG) != 0) return -1;
  if (fcntl(descriptor, F_SETLEASE, F_RDLCK) != 0) return errno == EAGAIN ? 1 : -1;
  fcntl(descriptor, F_SETLEASE, F_UNLCK);
  return 0;
}

int cairn_open_direct(const char *path, int flags, unsigned int mode) {
  return open(path, flags | O_DIRECT | O_CLOEXEC, mode);
}

int64_t cairn_preadv_nowait(int descriptor, const void *list, int count, int64_t offset) {
  return preadv2(descriptor, (const struct iovec *)list, count, offset, RWF_NOWAIT);
}

int cairn_syncfs(int descriptor) { return syncfs(descriptor); }

int cairn_rename_exclusive(const char *from, const char *to) {
  return renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
}

int cairn_rename_exchange(const char *a, const char *b) { return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE); }

int cairn_lock_exclusive(int descriptor) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  return fcntl(descriptor, F_OFD_SETLK, &lock);
}

static uint32_t crc_table[8][256];

__attribute__((constructor)) static void make_crc_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (0x82F63B78u & (0u - (crc & 1)));
    crc_table[0][i] = crc;
  }
  for (int row = 1; row < 8; row++)
    for (int i = 0; i < 256; i++)
      crc_table[row][i] = (crc_table[row - 1][i] >> 8) ^ crc_table[0][crc_table[row - 1][i] & 0xff];
}

uint32_t cairn_crc32c_portable(uint32_t crc, const void *bytes, size_t length) {
  const uint8_t *p = bytes;
  crc = ~crc;
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    word ^= crc;
    crc = 0;
    for (int i = 0; i < 8; i++) crc ^= crc_table[7 - i][(word >> (8 * i)) & 0xff];
    p += 8;
    length -= 8;
  }
  while (length--) crc = (crc >> 8) ^ crc_table[0][(crc ^ *p++) & 0xff];
  return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *bytes, size_t length) {
  const uint8_t *p = bytes;
  uint64_t state = ~crc;
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, p, 8);
    state = __builtin_ia32_crc32di(state, word);
    p += 8;
    length -= 8;
  }
  uint32_t rest = (uint32_t)state;
  while (length--) rest = __builtin_ia32_crc32qi(rest, *p++);
  return ~rest;
}
#endif

uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t length) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return crc32c_sse42(crc, bytes, length);
#endif
  return cairn_crc32c_portable(crc, bytes, length);
}

void cairn_zero(void *bytes, size_t length) { explicit_bzero(bytes, length); }

int cairn_processor_count(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return CPU_COUNT(&set);
}

uint64_t cairn_resident_bytes(void) {
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file) return 0;
  unsigned long long size = 0, resident = 0;
  int fields = fscanf(file, "%llu %llu", &size, &resident);
  fclose(file);
  return fields == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void cairn_error_text(int number, char *text, size_t capacity) {
  char scratch[128];
  const char *words = strerror_r(number, scratch, sizeof scratch);
  if (capacity > 0) snprintf(text, capacity, "%s", words);
}

void cairn_trim_memory(void) { malloc_trim(0); }

void cairn_bound_free_memory(size_t bytes) {
  mallopt(M_MMAP_THRESHOLD, (int)bytes);
  mallopt(M_TRIM_THRESHOLD, (int)bytes);
}

void cairn_name_thread(const char *name) {
  char kept[16];
  snprintf(kept, sizeof kept, "%s", name);
  pthread_setname_np(pthread_self(), kept);
}

void cairn_set_niceness(int niceness) { setpriority(PRIO_PROCESS, (id_t)gettid(), niceness); }

static int signal_pipe = -1;

static void pass_signal_on(int number) {
  int saved = errno;
  unsigned char byte = (unsigned char)number;
  // A full pipe means that plenty of signals wait already.
  ssize_t written = write(signal_pipe, &byte, 1);
  (void)written;
  errno = saved;
}

static int install_handlers(const int *signals, int count) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = pass_signal_on;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  for (int i = 0; i < count; i++)
    if (sigaction(signals[i], &action, NULL) != 0) return -1;
  return cairn_ignore_sigpipe();
}

int cairn_signals_to_pipe(const int *signals, int count) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return -1;
  signal_pipe = ends[1];
  if (fcntl(ends[1], F_SETFL, O_NONBLOCK) == 0 && install_handlers(signals, count) == 0) return ends[0];
  // The writing end stays: a handler that was installed already may still use it.
  close(ends[0]);
  return -1;
}

int cairn_ignore_sigpipe(void) { return signal(SIGPIPE, SIG_IGN) == SIG_ERR ? -1 : 0; }

int cairn_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }

int cairn_epoll_watch(int epoll, int descriptor, int events) {
  struct epoll_event event = {0};
  event.data.fd = descriptor;
  if (events & cairn_epoll_readable) event.events |= EPOLLIN;
  if (events & cairn_epoll_writable) event.events |= EPOLLOUT;
  if (events == 0) return epoll_ctl(epoll, EPOLL_CTL_DEL, descriptor, &event);
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) == 0) return 0;
  return errno == EEXIST ? epoll_ctl(epoll, EPOLL_CTL_MOD, descriptor, &event) : -1;
}

int cairn_epoll_wait(int epoll, struct cairn_epoll_ready *ready, int capacity, int milliseconds) {
  struct epoll_event events[64];
  int count = epoll_wait(epoll, events, capacity < 64 ? capacity : 64, milliseconds);
  for (int index = 0; index < count; index++) {
    uint32_t told = events[index].events;
    ready[index].descriptor = events[index].data.fd;
    ready[index].events = (told & (EPOLLIN | EPOLLHUP | EPOLLRDHUP) ? cairn_epoll_readable : 0) |
                          (told & EPOLLOUT ? cairn_epoll_writable : 0) |
                          (told & (EPOLLERR | EPOLLHUP) ? cairn_epoll_broken : 0);
  }
  return count;
}

int cairn_event_create(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }

int cairn_spawn_in_folder(void *file_actions, const char *path) {
  return posix_spawn_file_actions_addchdir_np(file_actions, path);
}

int cairn_terminal_columns(int descriptor) {
  struct winsize size;
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

void *cairn_terminal_hide(int descriptor) {
  struct termios *saved = malloc(sizeof *saved);
  if (!saved) return NULL;
  if (tcgetattr(descriptor, saved) == 0) {
    struct termios hidden = *saved;
    hidden.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
    hidden.c_cc[VEOL] = 3;
    if (tcsetattr(descriptor, TCSAFLUSH, &hidden) == 0) return saved;
  }
  free(saved);
  return NULL;
}

void cairn_terminal_restore(int descriptor, void *saved) {
  tcsetattr(descriptor, TCSAFLUSH, saved);
  free(saved);
}

void cairn_lower_thread(void) {
  // A thread's own values on Linux. Best effort, lowest level (linux/ioprio.h): schedulers that know no priorities ignore it.
  setpriority(PRIO_PROCESS, 0, 15);
  syscall(SYS_ioprio_set, 1, 0, (2 << 13) | 7);
}
