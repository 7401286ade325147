// io-compare FOLDER plain|uring cached|direct|huge RECORD_BYTES WRITERS TOTAL_BYTES
//
// The block store's commit pipeline and nothing else: WRITERS writers in a closed loop, each with one record of RECORD_BYTES that waits to be
// durable. While nothing is being written all that waits is written as one batch (at most 8 MiB) behind the last one in a preallocated
// file; while nothing is being synced all that was written is synced by one fdatasync. `plain` has a thread that calls pwritev and one that
// calls fdatasync, as the store has; `uring` has one thread that keeps both under way in an io_uring with the file and the buffers
// registered. `cached` goes through the page cache, `direct` past it, `huge` as well, from buffers in huge pages.
//
// Prints records a second, MB/s, and microseconds of processor time for each record, the kernel's own threads for this process included.
// Build: cc -O2 -pthread io-compare.c -luring

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { BATCH_BYTES = 8 << 20, HUGE_PAGE = 2 << 20, MOST_WRITERS = 1024 };

static long record_bytes, writers, total;
static int file_descriptor;
static char *buffers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
// Records that wait to be written, that are written and not synced, and that are durable; all in records.
static long queued, written, durable;

static void fail(const char *what) {
  fprintf(stderr, "io-compare: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static long batch_limit(void) { return BATCH_BYTES / record_bytes > 0 ? BATCH_BYTES / record_bytes : 1; }

// The records of a batch that begins with record number `first`. Every writer has a buffer.
static void fill(struct iovec *list, long first, long count) {
  for (long i = 0; i < count; i++) {
    char *buffer = buffers + (first + i) % writers * record_bytes;
    memcpy(buffer, &(long){first + i}, sizeof(long));
    list[i] = (struct iovec){buffer, (size_t)record_bytes};
  }
}

static void *write_plainly(void *unused) {
  struct iovec list[MOST_WRITERS];
  for (long next = 0; next < total;) {
    pthread_mutex_lock(&lock);
    while (queued == 0) pthread_cond_wait(&changed, &lock);
    long count = queued < batch_limit() ? queued : batch_limit();
    queued -= count;
    pthread_mutex_unlock(&lock);
    fill(list, next, count);
    if (pwritev(file_descriptor, list, (int)count, next * record_bytes) != count * record_bytes) fail("pwritev");
    next += count;
    pthread_mutex_lock(&lock);
    written += count;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
  return unused;
}

// Writers whose records became durable have the next one ready, as long as there are any left.
static void finish(long count, long *begun) {
  durable += count;
  long more = count < total - *begun ? count : total - *begun;
  queued += more;
  *begun += more;
}

static void sync_plainly(long *begun) {
  while (durable < total) {
    pthread_mutex_lock(&lock);
    while (written == 0) pthread_cond_wait(&changed, &lock);
    long count = written;
    written = 0;
    pthread_mutex_unlock(&lock);
    if (fdatasync(file_descriptor) != 0) fail("fdatasync");
    pthread_mutex_lock(&lock);
    finish(count, begun);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
  }
}

static void run_plainly(long *begun) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, write_plainly, NULL) != 0) fail("pthread_create");
  sync_plainly(begun);
  pthread_join(thread, NULL);
}

static void run_in_ring(long *begun) {
  struct io_uring ring;
  struct io_uring_params parameters = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN};
  struct iovec list[MOST_WRITERS], all = {buffers, (size_t)(writers * record_bytes)};
  if (io_uring_queue_init_params(64, &ring, &parameters) != 0) fail("io_uring_queue_init");
  if (io_uring_register_files(&ring, &file_descriptor, 1) != 0) fail("io_uring_register_files");
  if (io_uring_register_buffers(&ring, &all, 1) != 0) fail("io_uring_register_buffers");
  long next = 0, writing = 0, parts = 0, syncing = 0;
  while (durable < total) {
    if (writing == 0 && queued > 0) {
      writing = queued < batch_limit() ? queued : batch_limit();
      queued -= writing;
      fill(list, next, writing);
      // Registered buffers are written one by one; where that is too many requests, one vector does.
      parts = writing <= 32 ? writing : 1;
      for (long i = 0; i < parts; i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
        if (parts == 1 && writing > 1)
          io_uring_prep_writev(entry, 0, list, (unsigned)writing, (uint64_t)(next * record_bytes));
        else
          io_uring_prep_write_fixed(entry, 0, list[i].iov_base, (unsigned)record_bytes, (uint64_t)((next + i) * record_bytes), 0);
        io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
        io_uring_sqe_set_data64(entry, 1);
      }
    }
    if (syncing == 0 && written > 0) {
      syncing = written;
      written = 0;
      struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
      io_uring_prep_fsync(entry, 0, IORING_FSYNC_DATASYNC);
      io_uring_sqe_set_flags(entry, IOSQE_FIXED_FILE);
      io_uring_sqe_set_data64(entry, 2);
    }
    if (io_uring_submit_and_wait(&ring, 1) < 0) fail("io_uring_submit_and_wait");
    struct io_uring_cqe *answer;
    while (io_uring_peek_cqe(&ring, &answer) == 0) {
      if (answer->res < 0) errno = -answer->res, fail("a request in the ring");
      uint64_t kind = io_uring_cqe_get_data64(answer);
      if (kind == 1 && answer->res != record_bytes && answer->res != writing * record_bytes) errno = EIO, fail("a short write");
      io_uring_cqe_seen(&ring, answer);
      if (kind == 2) {
        finish(syncing, begun);
        syncing = 0;
      } else if (--parts == 0) {
        next += writing;
        written += writing;
        writing = 0;
      }
    }
  }
  io_uring_queue_exit(&ring);
}

int main(int count, char **arguments) {
  if (count != 7) return fprintf(stderr, "usage: io-compare FOLDER plain|uring cached|direct|huge RECORD_BYTES WRITERS TOTAL_BYTES\n"), 2;
  record_bytes = atol(arguments[4]);
  writers = atol(arguments[5]);
  if (record_bytes < 4096 || record_bytes % 4096 != 0 || writers < 1 || writers > MOST_WRITERS)
    return fprintf(stderr, "io-compare: records are pages, writers 1 to %d\n", MOST_WRITERS), 2;
  total = atol(arguments[6]) / record_bytes;
  char path[4096];
  snprintf(path, sizeof path, "%s/io-compare-%d", arguments[1], getpid());
  int is_huge = strcmp(arguments[3], "huge") == 0;
  int flags = O_RDWR | O_CREAT | O_EXCL | (is_huge || strcmp(arguments[3], "direct") == 0 ? O_DIRECT : 0);
  if ((file_descriptor = open(path, flags, 0600)) < 0) fail(path);
  unlink(path);
  if (posix_memalign((void **)&buffers, HUGE_PAGE, (size_t)(writers * record_bytes)) != 0) fail("posix_memalign");
  madvise(buffers, (size_t)(writers * record_bytes), is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  for (long i = 0; i < writers * record_bytes; i++) buffers[i] = (char)(i * 2654435761u >> 13);
  // As the store's segments: the space is there and its extents are durable before the first record.
  if (fallocate(file_descriptor, 0, 0, total * record_bytes) != 0) fail("fallocate");
  if (fsync(file_descriptor) != 0) fail("fsync");
  queued = writers < total ? writers : total;
  long begun = queued;
  double start = now();
  if (strcmp(arguments[2], "uring") == 0) run_in_ring(&begun); else run_plainly(&begun);
  double took = now() - start;
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  double processor = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
  printf("%.0f %.0f %.0f\n", (double)total / took, (double)(total * record_bytes) / 1e6 / took, processor * 1e6 / (double)total);
  return 0;
}
