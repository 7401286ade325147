// Loaded before libfaketime into processes whose wall clock is turned. It leaves the monotonic clocks alone, as it is told, and yet moves
// absolute timers on them by what it turns the wall clock: whatever slept when the clock went back a minute slept a minute longer, which no
// machine does. So timers are set here as they are asked for. None of the daemons' timers is on the wall clock.
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

int timerfd_settime(int descriptor, int flags, const struct itimerspec *value, struct itimerspec *old) {
  return (int)syscall(SYS_timerfd_settime, descriptor, flags, value, old);
}
