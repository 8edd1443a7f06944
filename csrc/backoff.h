#ifndef AZDLQ_BACKOFF_H
#define AZDLQ_BACKOFF_H

#include <stddef.h>
#include <stdint.h>

#include "result.h"

enum { AZDLQ_FIXED = 0, AZDLQ_EXPONENTIAL = 1, AZDLQ_FIBONACCI = 2, AZDLQ_KINDS = 3 };

#define AZDLQ_JITTER_ONE (UINT64_C(1) << 32)

typedef struct azdlq_backoff {
    int32_t kind;       /* AZDLQ_FIXED, AZDLQ_EXPONENTIAL or AZDLQ_FIBONACCI */
    int64_t initial_us; /* >= 0 */
    int64_t max_us;     /* >= 0; not looked at by AZDLQ_FIXED */
    uint64_t jitter;    /* largest share taken off a delay, in units of 2^-32: 0 .. 2^32 */
} azdlq_backoff;

/* AZDLQ_INVALID where a member is outside its bounds. */
azdlq_result azdlq_backoff_check(const azdlq_backoff *backoff);

/* The delay in microseconds before attempt 0, 1, 2, … (attempt >= 0), without jitter:
 *     fixed        initial_us
 *     exponential  min(initial_us * 2^attempt, max_us)
 *     Fibonacci    min(initial_us * F(attempt), max_us), F = 1, 1, 2, 3, 5, 8, …
 * Products saturate at 2^63-1. The backoff must have passed azdlq_backoff_check. */
int64_t azdlq_backoff_delay(const azdlq_backoff *backoff, int64_t attempt);

/* azdlq_backoff_delay for `count` attempts; `delays` may be `attempts` itself.
 * AZDLQ_INVALID: attempts[*negative] is the first negative one, nothing was written. */
azdlq_result azdlq_backoff_delays(const azdlq_backoff *backoff, const int64_t *attempts,
                                  size_t count, int64_t *delays, size_t *negative);

/* A delay >= 0 lessened by its jitter, the same in every process and at every poll:
 *     hash  = mix64(mix64(id) + retry_count) >> 32    (mix64: hash.h; both cast to uint64)
 *     f     = (hash * jitter) >> 32
 *     delay - floor(delay * f / 2^32) */
int64_t azdlq_backoff_jittered(int64_t delay_us, uint64_t jitter, int64_t id, int64_t retry_count);

#endif
