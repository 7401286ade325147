#ifndef CAIRN_CLINUX_H
#define CAIRN_CLINUX_H

#include <stddef.h>
#include <stdint.h>

// No header of the system beyond these two: whatever types it declared would belong to this module in Swift's eyes, and no longer to Glibc.

/// Calls that Swift's Glibc module hides behind `_GNU_SOURCE`. Each returns what the system call returns and sets `errno`.

/// Allocates `length` bytes at `offset` of an open file without changing its contents; the file's size grows with it.
int cairn_fallocate(int descriptor, int64_t offset, int64_t length);
/// Allocates without changing the file's size.
int cairn_fallocate_keep_size(int descriptor, int64_t offset, int64_t length);
/// Gives the pages of a range back to the file system; the file's size stays and the range reads as zeros.
int cairn_punch_hole(int descriptor, int64_t offset, int64_t length);
/// `sync_file_range(2)` with `SYNC_FILE_RANGE_WRITE`: begins to write a range to the disk and waits for nothing.
int cairn_write_back(int descriptor, int64_t offset, int64_t length);
/// Whether anybody has the file open for writing, or mapped so, as a lease (`fcntl(2)`, `F_SETLEASE`) tells; `descriptor` is open for reading
/// alone. 1 for yes, 0 for no, -1 where it cannot be told: file systems without leases, files of other users.
int cairn_has_writer(int descriptor);
/// `open(2)` with `O_DIRECT | O_CLOEXEC` added to `flags`.
int cairn_open_direct(const char *path, int flags, unsigned int mode);
/// `preadv2(2)` with `RWF_NOWAIT`: reads what is in the page cache and fails with `EAGAIN` where it would have to wait for the disk.
/// `list` is an array of `count` `struct iovec`.
int64_t cairn_preadv_nowait(int descriptor, const void *list, int count, int64_t offset);
/// `syncfs(2)`.
int cairn_syncfs(int descriptor);
/// `renameat2(2)` with `RENAME_NOREPLACE`: fails with `EEXIST` when something has the name already.
int cairn_rename_exclusive(const char *from, const char *to);
/// `renameat2(2)` with `RENAME_EXCHANGE`: what is at the two names changes places at one stroke.
int cairn_rename_exchange(const char *a, const char *b);
/// Takes an exclusive open-file-description lock without waiting; -1 with `EAGAIN` when somebody else holds it.
int cairn_lock_exclusive(int descriptor);

/// CRC-32C (Castagnoli, reflected, as in RFC 3720) of `length` bytes continued from `crc`; 0 starts a new one.
/// Uses the SSE4.2 instruction where the processor has it and a table otherwise.
uint32_t cairn_crc32c(uint32_t crc, const void *bytes, size_t length);
/// The table version, for the test that holds the two against each other.
uint32_t cairn_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

/// Writes the system's words for an error number to `text`, at most `capacity` bytes with the closing zero.
void cairn_error_text(int number, char *text, size_t capacity);
/// `malloc_trim(3)` with 0: gives free memory back to the system.
void cairn_trim_memory(void);
/// `mallopt(3)`: what is freed at the end of an arena goes back to the system when it is more than this, and what is asked for beyond this
/// has a mapping of its own. Without it both bounds follow the largest piece ever freed, up to 64 MiB an arena.
void cairn_bound_free_memory(size_t bytes);
/// Names the calling thread; the kernel keeps 15 bytes.
void cairn_name_thread(const char *name);
/// Sets the calling thread's niceness, which Linux keeps for each thread; a refusal leaves it as it is.
void cairn_set_niceness(int niceness);
/// Ignores SIGPIPE and turns each of `count` other signals into one byte, its number, in a pipe.
/// Answers the pipe's reading end, -1 with `errno` on failure. A handler, not a mask: children inherit masks and not handlers,
/// and a thread that was started earlier cannot miss it. Called once in a process.
int cairn_signals_to_pipe(const int *signals, int count);

/// What `cairn_epoll_wait` says of a descriptor, and what `cairn_epoll_watch` asks for: bits.
static const int cairn_epoll_readable = 1;
static const int cairn_epoll_writable = 2;
/// Never asked for, always told.
static const int cairn_epoll_broken = 4;

/// A descriptor and what it is ready for.
struct cairn_epoll_ready {
  int descriptor;
  int events;
};

/// `epoll_create1(EPOLL_CLOEXEC)`.
int cairn_epoll_create(void);
/// Watches a descriptor, level-triggered, for what `events` says, whether it was watched before or not; 0 ends it.
int cairn_epoll_watch(int epoll, int descriptor, int events);
/// `epoll_wait(2)`, -1 with `errno` when it failed.
int cairn_epoll_wait(int epoll, struct cairn_epoll_ready *ready, int capacity, int milliseconds);
/// `eventfd(2)` that does not block.
int cairn_event_create(void);

/// Adds "change to this folder" to a `posix_spawn_file_actions_t`.
int cairn_spawn_in_folder(void *file_actions, const char *path);
/// Ignores SIGPIPE.
int cairn_ignore_sigpipe(void);

/// Columns of the terminal that a descriptor is open on, 0 when it is none or does not say.
int cairn_terminal_columns(int descriptor);
/// Stops showing what is typed, and makes Ctrl-C a character, 3, that ends the line in place of a signal.
/// Answers what `cairn_terminal_restore` takes, NULL when the descriptor is no terminal.
void *cairn_terminal_hide(int descriptor);
/// Takes `cairn_terminal_hide` back and frees what it answered.
void cairn_terminal_restore(int descriptor, void *saved);

/// Begins to bring the cache line at `place` near for reading.
static inline void cairn_prefetch(const void *place) { __builtin_prefetch(place, 0, 3); }
/// Overwrites memory in a way that the compiler does not remove.
void cairn_zero(void *bytes, size_t length);
/// `sched_getaffinity` folded to a count: the processors that this process may run on.
int cairn_processor_count(void);
/// Resident set size of this process in bytes, 0 when `/proc` does not say.
uint64_t cairn_resident_bytes(void);
/// Gives the calling thread less of processors and disks than others get, where the system can; it is never raised again.
void cairn_lower_thread(void);

#endif
