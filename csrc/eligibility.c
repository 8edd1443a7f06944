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

azdlq_result azdlq_due(const azdlq_rules *rules, const azdlq_columns *columns, size_t count,
                       int64_t *indices, uint8_t *verdicts, azdlq_due_summary *summary)
{
    azdlq_due_summary sum = {0, 0, INT64_MAX};

    if (rules->backoff.jitter != 0 && columns->id == NULL) {
        return AZDLQ_INVALID;
    }
    for (size_t i = 0; i < count; i++) {
        azdlq_letter letter = letter_at(columns, i);
        int64_t due_at = INT64_MAX;
        azdlq_verdict verdict = azdlq_judge(rules, &letter, &due_at);
        if (verdict == AZDLQ_DUE) {
            indices[sum.due++] = (int64_t)i;
        }
        else if (verdict == AZDLQ_WAITING) {
            sum.waiting++;
            sum.next_due_us = due_at < sum.next_due_us ? due_at : sum.next_due_us;
        }
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
