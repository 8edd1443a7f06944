#ifndef AZDLQ_ELIGIBILITY_H
#define AZDLQ_ELIGIBILITY_H

#include <stddef.h>
#include <stdint.h>

#include "backoff.h"
#include "result.h"

/* Values that stand for what is no number; no instant and no count that is read takes them. */
#define AZDLQ_NONE INT64_MIN             /* no value */
#define AZDLQ_UNREADABLE (INT64_MIN + 1) /* a value that is no timestamp, or no integer */

/* Where several hold, the later bad ones yield to the earlier, EXHAUSTED to all bad ones, and
 * DUE and WAITING to EXHAUSTED. */
typedef enum azdlq_verdict {
    AZDLQ_DUE = 0,
    AZDLQ_WAITING = 1,
    AZDLQ_EXHAUSTED = 2,            /* retry_count >= max_retries */
    AZDLQ_BAD_RETRY_COUNT = 3,      /* none or unreadable */
    AZDLQ_NEGATIVE_RETRY_COUNT = 4,
    AZDLQ_BAD_FAILED_AT = 5,        /* none or unreadable */
    AZDLQ_BAD_LAST_RETRY_AT = 6     /* unreadable */
} azdlq_verdict;

typedef struct azdlq_rules {
    int64_t now_us;
    int64_t max_retries; /* >= 0 */
    int64_t min_age_us;  /* >= 0 */
    azdlq_backoff backoff;
    int32_t waive_delay; /* nonzero: every readable letter that is not exhausted is due */
} azdlq_rules;

typedef struct azdlq_letter {
    int64_t id; /* looked at only where backoff.jitter > 0 */
    int64_t retry_count;
    int64_t failed_at;     /* microseconds, or AZDLQ_NONE or AZDLQ_UNREADABLE, as the next two */
    int64_t last_retry_at;
    int64_t not_before;    /* AZDLQ_UNREADABLE counts as AZDLQ_NONE */
} azdlq_letter;

/* The same by column; `id`, `last_retry_at` and `not_before` may be NULL. */
typedef struct azdlq_columns {
    const int64_t *id, *retry_count, *failed_at, *last_retry_at, *not_before;
} azdlq_columns;

typedef struct azdlq_due_summary {
    size_t due;
    size_t waiting;
    int64_t next_due_us; /* the earliest instant at which a waiting one becomes due; else INT64_MAX */
} azdlq_due_summary;

/* AZDLQ_INVALID where a member is outside its bounds. */
azdlq_result azdlq_rules_check(const azdlq_rules *rules);

/* Judges one letter by rules that have passed azdlq_rules_check. Where the answer is
 * AZDLQ_WAITING, *due_at_us is when it becomes due, INT64_MAX where that lies beyond int64. */
azdlq_verdict azdlq_judge(const azdlq_rules *rules, const azdlq_letter *letter,
                          int64_t *due_at_us);

/* Judges `count` letters: the places of the due ones go to `indices` (room for `count`), verdicts
 * to `verdicts` (room for `count`, or NULL). AZDLQ_INVALID: jitter without a column of ids. */
azdlq_result azdlq_due(const azdlq_rules *rules, const azdlq_columns *columns, size_t count,
                       int64_t *indices, uint8_t *verdicts, azdlq_due_summary *summary);

/* A hash of a letter's state (not of its id), by which a later reader sees that it was changed. */
uint32_t azdlq_stamp(const azdlq_letter *letter);

#endif
