/* Preloaded into a process on Linux: stands between it and its wall clock. AZOTH_SHIM_CLOCK names a
   file of two numbers, which anybody may change while the process runs: by how many nanoseconds its
   clock is off, and the instant (nanoseconds since 1970) at which it stands still. Without the
   variable the clock is the true one. For any number of threads. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define GOES_ON INT64_MIN /* in place of the instant at which it stands still */

struct hands {
    _Atomic int64_t off_ns;
    _Atomic int64_t stands_at_ns;
};

typedef int read_clock(clockid_t, struct timespec *);

static struct hands *hands;
static read_clock *real_clock_gettime;

__attribute__((constructor)) static void find_clock(void)
{
    real_clock_gettime = (read_clock *)dlsym(RTLD_NEXT, "clock_gettime");
    const char *path = getenv("AZOTH_SHIM_CLOCK");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return;
    }
    void *mapped = mmap(NULL, sizeof *hands, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    hands = mapped == MAP_FAILED ? NULL : mapped;
}

int clock_gettime(clockid_t which, struct timespec *now)
{
    if (real_clock_gettime == NULL) {
        find_clock(); /* another library's constructor came first */
    }
    int result = real_clock_gettime(which, now);
    if (hands == NULL || result != 0 ||
        (which != CLOCK_REALTIME && which != CLOCK_REALTIME_COARSE)) {
        return result;
    }
    int64_t ns = hands->stands_at_ns;
    if (ns == GOES_ON) {
        ns = now->tv_sec * SECOND_NS + now->tv_nsec + hands->off_ns;
    }
    /* The fraction of a second is never negative, before 1970 either. */
    int64_t fraction = (ns % SECOND_NS + SECOND_NS) % SECOND_NS;
    now->tv_sec = (ns - fraction) / SECOND_NS;
    now->tv_nsec = fraction;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    (void)zone;
    struct timespec read;
    clock_gettime(CLOCK_REALTIME, &read);
    now->tv_sec = read.tv_sec;
    now->tv_usec = read.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *stored)
{
    struct timespec read;
    clock_gettime(CLOCK_REALTIME_COARSE, &read);
    if (stored != NULL) {
        *stored = read.tv_sec;
    }
    return read.tv_sec;
}
