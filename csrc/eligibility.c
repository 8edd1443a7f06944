#include "eligibility.h"

#include <stdbool.h>

#include "hash.h"

azdlq_result azdlq_rules_check(const azdlq_rules *rules)
{
    if (rules->max_retries < 0 || rules->min_age_us < 0) {
        return AZDLQ_INVALID;
    }
    return azdlq_backoff_check(&rules->backoff);
}

static bool has_value(int64_t value)
{
    return value > AZDLQ_UNREADABLE;
}

/* The least time in microseconds between the last failure and the next attempt. */
static int64_t wait_of(const azdlq_rules *rules, const azdlq_letter *letter)
{
    int64_t delay = azdlq_backoff_delay(&rules->backoff, letter->retry_count);
    if (rules->backoff.jitter != 0) {
        delay = azdlq_backoff_jittered(delay, rules->backoff.jitter, letter->id,
                                       letter->retry_count);
    }
    return delay > rules->min_age_us ? delay : rules->min_age_us;
}

azdlq_verdict azdlq_judge(const azdlq_rules *rules, const azdlq_letter *letter, int64_t *due_at_us)
{
    if (letter->retry_count < 0) {
        return has_value(letter->retry_count) ? AZDLQ_NEGATIVE_RETRY_COUNT : AZDLQ_BAD_RETRY_COUNT;
    }
    if (!has_value(letter->failed_at)) {
        return AZDLQ_BAD_FAILED_AT;
    }
    if (letter->last_retry_at == AZDLQ_UNREADABLE) {
        return AZDLQ_BAD_LAST_RETRY_AT;
    }
    if (letter->retry_count >= rules->max_retries) {
        return AZDLQ_EXHAUSTED;
    }
    if (rules->waive_delay) {
        return AZDLQ_DUE;
    }
    if (has_value(letter->not_before)) {
        *due_at_us = letter->not_before;
        return rules->now_us >= letter->not_before ? AZDLQ_DUE : AZDLQ_WAITING;
    }
    int64_t base = has_value(letter->last_retry_at) ? letter->last_retry_at : letter->failed_at;
    int64_t wait = wait_of(rules, letter);
    if (base > INT64_MAX - wait) {
        *due_at_us = INT64_MAX;
        return AZDLQ_WAITING;
    }
    *due_at_us = base + wait;
    return rules->now_us >= base + wait ? AZDLQ_DUE : AZDLQ_WAITING;
}

static azdlq_letter letter_at(const azdlq_columns *columns, size_t i)
{
    azdlq_letter letter;
    letter.id = columns->id ? columns->id[i] : 0;
    letter.retry_count = columns->retry_count[i];
    letter.failed_at = columns->failed_at[i];
    letter.last_retry_at = columns->last_retry_at ? columns->last_retry_at[i] : AZDLQ_NONE;
    letter.not_before = columns->not_before ? columns->not_before[i] : AZDLQ_NONE;
    return letter;
}

/* Of the first attempts; hardly a letter has had more. */
enum { KNOWN_WAITS = 64 };

/* How many waits are known: none where they differ from letter to letter, or are waived, or where
 * an instant that lies beyond int64 could count as reached. */
static int64_t know_waits(const azdlq_rules *rules, int64_t waits[KNOWN_WAITS])
{
    if (rules->backoff.jitter != 0 || rules->waive_delay || rules->now_us == INT64_MAX) {
        return 0;
    }
    azdlq_letter letter = {0, 0, 0, AZDLQ_NONE, AZDLQ_NONE};
    while (letter.retry_count < KNOWN_WAITS && letter.retry_count < rules->max_retries) {
        waits[letter.retry_count] = wait_of(rules, &letter);
        letter.retry_count++;
    }
    return letter.retry_count;
}

/* azdlq_judge for a letter that is readable, waits for no instant of its own, and whose wait is
 * among those that are known if it has attempts left. Without a branch: which letters are due is
 * as good as random. */
static azdlq_verdict judge_plain(const azdlq_rules *rules, const int64_t *waits,
                                 const azdlq_letter *letter, int64_t *due_at_us)
{
    unsigned exhausted = letter->retry_count >= rules->max_retries;
    int64_t wait = waits[letter->retry_count & -(int64_t)!exhausted];
    int64_t base = has_value(letter->last_retry_at) ? letter->last_retry_at : letter->failed_at;
    *due_at_us = base > INT64_MAX - wait ? INT64_MAX : base + wait;
    unsigned is_due = rules->now_us >= *due_at_us;
    return (azdlq_verdict)(AZDLQ_WAITING - (is_due & !exhausted) + exhausted);
}

azdlq_result azdlq_due(const azdlq_rules *rules, const azdlq_columns *columns, size_t count,
                       int64_t *indices, uint8_t *verdicts, azdlq_due_summary *summary)
{
    azdlq_due_summary sum = {0, 0, INT64_MAX};
    int64_t waits[KNOWN_WAITS];
    int64_t known = know_waits(rules, waits);
    const azdlq_columns of = *columns; /* which nothing that is written can change */

    if (rules->backoff.jitter != 0 && columns->id == NULL) {
        return AZDLQ_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        azdlq_letter letter = letter_at(&of, i);
        int64_t due_at = INT64_MAX;
        bool is_known = (letter.retry_count < known) | (letter.retry_count >= rules->max_retries);
        /* An int: of bools, Clang would have && here, which is a branch. */
        bool is_plain = (int)has_value(letter.failed_at) & !has_value(letter.not_before)
                      & (letter.retry_count >= 0) & (letter.last_retry_at != AZDLQ_UNREADABLE);
        azdlq_verdict verdict = known > 0 && (is_known & is_plain)
                                    ? judge_plain(rules, waits, &letter, &due_at)
                                    : azdlq_judge(rules, &letter, &due_at);
        bool waits_on = verdict == AZDLQ_WAITING;
        indices[sum.due] = (int64_t)i;
        sum.due += verdict == AZDLQ_DUE;
        sum.waiting += waits_on;
        int64_t awaited = waits_on ? due_at : INT64_MAX;
        sum.next_due_us = awaited < sum.next_due_us ? awaited : sum.next_due_us;
        if (verdicts != NULL) {
            verdicts[i] = (uint8_t)verdict;
        }
    }
    *summary = sum;
    return AZDLQ_OK;
}

uint32_t azdlq_stamp(const azdlq_letter *letter)
{
    /* Odd factors: a change of one member always changes the sum. */
    uint64_t sum = (uint64_t)letter->retry_count * UINT64_C(0x9E3779B97F4A7C15)
                 + (uint64_t)letter->failed_at * UINT64_C(0xC2B2AE3D27D4EB4F)
                 + (uint64_t)letter->last_retry_at * UINT64_C(0x165667B19E3779F9)
                 + (uint64_t)letter->not_before * UINT64_C(0xD6E8FEB86659FD93);
    return (uint32_t)(azdlq_mix64(sum) >> 32);
}
