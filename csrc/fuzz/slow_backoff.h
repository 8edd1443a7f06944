#ifndef AZDLQ_SLOW_BACKOFF_H
#define AZDLQ_SLOW_BACKOFF_H

#include "backoff.h"
#include "fuzz.h"
#include "hash.h"

static inline int64_t saturating_sum(int64_t a, int64_t b)
{
    return a > INT64_MAX - b ? INT64_MAX : a + b;
}

/* Step by step: each delay is twice the one before, or the sum of the two before. */
static inline int64_t slow_delay(const azdlq_backoff *backoff, int64_t attempt)
{
    int64_t before = 0;
    int64_t delay = backoff->initial_us;
    if (backoff->kind == AZDLQ_FIXED) {
        return delay;
    }
    for (int64_t i = 0; i < attempt && delay != 0 && delay != INT64_MAX; i++) {
        int64_t next = saturating_sum(delay, backoff->kind == AZDLQ_EXPONENTIAL ? delay : before);
        before = delay;
        delay = next;
    }
    return delay < backoff->max_us ? delay : backoff->max_us;
}

/* delay - floor(delay * share / 2^32), the product formed bit by bit. */
static inline int64_t slow_jittered(int64_t delay, uint64_t jitter, int64_t id, int64_t retry_count)
{
    uint64_t hash = azdlq_mix64(azdlq_mix64((uint64_t)id) + (uint64_t)retry_count) >> 32;
    uint64_t share = jitter == AZDLQ_JITTER_ONE ? hash : hash * jitter >> 32;
    uint64_t whole = 0; /* of the product so far, in units of 2^32, */
    uint64_t rest = 0;  /* and what is less than one unit */
    for (int bit = 62; bit >= 0; bit--) {
        rest = 2 * rest + (((uint64_t)delay >> bit & 1) ? share : 0);
        whole = 2 * whole + (rest >> 32);
        rest &= UINT32_MAX;
    }
    return (int64_t)((uint64_t)delay - whole);
}

static inline azdlq_backoff take_backoff(input *in)
{
    azdlq_backoff backoff;
    uint8_t kind = take_byte(in);
    backoff.kind = kind < 250 ? kind % AZDLQ_KINDS : 252 - kind;
    backoff.initial_us = take_number(in);
    backoff.max_us = take_number(in);
    backoff.jitter = take_byte(in) % 2 ? (uint64_t)take_number(in) & (2 * AZDLQ_JITTER_ONE - 1) : 0;
    return backoff;
}

static inline int is_backoff(const azdlq_backoff *backoff)
{
    int is_kind = 0 <= backoff->kind && backoff->kind < AZDLQ_KINDS;
    return is_kind && backoff->initial_us >= 0 && backoff->max_us >= 0
        && backoff->jitter <= UINT64_C(4294967296);
}

#endif
