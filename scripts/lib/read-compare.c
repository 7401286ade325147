// read-compare FILE cached|ahead|direct|huge RECORD_BYTES READERS
//
// Reads each record of RECORD_BYTES in FILE once, in order, READERS threads each taking the next one, as a download asks a block store for
// its blocks; nothing of FILE is in the page cache when it begins. `cached` goes through the page cache, `ahead` as well and tells the
// kernel before each record which bytes it is about to read, `direct` goes past it, `huge` as well, into buffers in huge pages.
//
// Prints MB/s and microseconds of processor time for each record.
// Build: cc -O2 -pthread read-compare.c

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MOST_READERS = 64, HUGE_PAGE = 2 << 20 };

static int file_descriptor, tells_ahead;
static long record_bytes, records;
static atomic_long next_record;

static void fail(const char *what) {
  fprintf(stderr, "read-compare: %s: %s\n", what, strerror(errno));
  exit(1);
}

static double seconds(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double processor_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

static void *read_records(void *buffer) {
  for (;;) {
    long record = atomic_fetch_add(&next_record, 1);
    if (record >= records) return NULL;
    off_t offset = record * record_bytes;
    if (tells_ahead) posix_fadvise(file_descriptor, offset, record_bytes, POSIX_FADV_WILLNEED);
    if (pread(file_descriptor, buffer, (size_t)record_bytes, offset) != record_bytes) fail("pread");
  }
}

int main(int count, char **arguments) {
  if (count != 5) return fprintf(stderr, "read-compare FILE cached|ahead|direct|huge RECORD_BYTES READERS\n"), 2;
  record_bytes = atol(arguments[3]);
  long readers = atol(arguments[4]);
  if (record_bytes <= 0 || record_bytes % 4096 != 0 || readers < 1 || readers > MOST_READERS) return 2;
  tells_ahead = strcmp(arguments[2], "ahead") == 0;
  int is_huge = strcmp(arguments[2], "huge") == 0;
  file_descriptor = open(arguments[1], O_RDONLY | (is_huge || strcmp(arguments[2], "direct") == 0 ? O_DIRECT : 0));
  if (file_descriptor < 0) fail(arguments[1]);
  posix_fadvise(file_descriptor, 0, 0, POSIX_FADV_DONTNEED);
  records = lseek(file_descriptor, 0, SEEK_END) / record_bytes;

  void *buffers[MOST_READERS];
  pthread_t threads[MOST_READERS];
  for (long reader = 0; reader < readers; reader++) {
    if (posix_memalign(&buffers[reader], HUGE_PAGE, (size_t)record_bytes) != 0) fail("posix_memalign");
    madvise(buffers[reader], (size_t)record_bytes, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(buffers[reader], 1, (size_t)record_bytes);
  }
  double begin = now(), busy = processor_seconds();
  for (long reader = 0; reader < readers; reader++) {
    if ((errno = pthread_create(&threads[reader], NULL, read_records, buffers[reader])) != 0) fail("pthread_create");
  }
  for (long reader = 0; reader < readers; reader++) pthread_join(threads[reader], NULL);
  double elapsed = now() - begin;
  printf("%.0f %.0f\n", (double)(records * record_bytes) / 1e6 / elapsed, (processor_seconds() - busy) * 1e6 / (double)records);
  return 0;
}
