#include "eligibility.h"

#include "fuzz.h"
#include "slow_backoff.h"

#include <string.h>

enum { MOST = 64 };

/* What the header says, once more. */
static azdlq_verdict slow_judge(const azdlq_rules *rules, const azdlq_letter *letter,
                                int64_t *due_at)
{
    int is_put_off = letter->not_before != AZDLQ_NONE && letter->not_before != AZDLQ_UNREADABLE;
    if (letter->retry_count == AZDLQ_NONE || letter->retry_count == AZDLQ_UNREADABLE) {
        return AZDLQ_BAD_RETRY_COUNT;
    }
    if (letter->retry_count < 0) {
        return AZDLQ_NEGATIVE_RETRY_COUNT;
    }
    if (letter->failed_at == AZDLQ_NONE || letter->failed_at == AZDLQ_UNREADABLE) {
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
    if (is_put_off) {
        *due_at = letter->not_before;
        return *due_at <= rules->now_us ? AZDLQ_DUE : AZDLQ_WAITING;
    }
    int64_t wait = slow_delay(&rules->backoff, letter->retry_count);
    wait = slow_jittered(wait, rules->backoff.jitter, letter->id, letter->retry_count);
    wait = wait < rules->min_age_us ? rules->min_age_us : wait;
    int64_t base = letter->last_retry_at == AZDLQ_NONE ? letter->failed_at : letter->last_retry_at;
    *due_at = saturating_sum(base, wait);
    /* An instant beyond int64 is never reached. */
    int is_beyond = base > 0 && wait > INT64_MAX - base;
    return !is_beyond && *due_at <= rules->now_us ? AZDLQ_DUE : AZDLQ_WAITING;
}

/* A column of its own, or none. */
static int64_t *column(int is_there, size_t count)
{
    return is_there ? room(count, sizeof(int64_t)) : NULL;
}

static void judge(const azdlq_rules *rules, const azdlq_letter *letters, size_t count, int there)
{
    int64_t *retry_count = column(1, count), *failed_at = column(1, count);
    int64_t *id = column(there & 1, count), *last_retry_at = column(there & 2, count);
    int64_t *not_before = column(there & 4, count), *indices = column(1, count);
    uint8_t *verdicts = there & 8 ? room(count, 1) : NULL;
    const azdlq_columns columns = {id, retry_count, failed_at, last_retry_at, not_before};
    azdlq_due_summary expected = {0, 0, INT64_MAX};
    azdlq_due_summary summary;

    for (size_t i = 0; i < count; i++) {
        retry_count[i] = letters[i].retry_count;
        failed_at[i] = letters[i].failed_at;
        if (id) {
            id[i] = letters[i].id;
        }
        if (last_retry_at) {
            last_retry_at[i] = letters[i].last_retry_at;
        }
        if (not_before) {
            not_before[i] = letters[i].not_before;
        }
    }
    azdlq_result result = azdlq_due(rules, &columns, count, indices, verdicts, &summary);
    REQUIRE(result == (rules->backoff.jitter != 0 && !id ? AZDLQ_INVALID : AZDLQ_OK));
    for (size_t i = 0; i < count && result == AZDLQ_OK; i++) {
        azdlq_letter letter = letters[i];
        letter.last_retry_at = last_retry_at ? letter.last_retry_at : AZDLQ_NONE;
        letter.not_before = not_before ? letter.not_before : AZDLQ_NONE;
        int64_t slow_due_at = INT64_MAX, due_at = INT64_MAX;
        azdlq_verdict verdict = slow_judge(rules, &letter, &slow_due_at);
        REQUIRE(azdlq_judge(rules, &letter, &due_at) == verdict);
        REQUIRE(verdicts == NULL || verdicts[i] == verdict);
        if (verdict == AZDLQ_DUE) {
            REQUIRE(indices[expected.due] == (int64_t)i);
            expected.due++;
        }
        if (verdict == AZDLQ_WAITING) {
            REQUIRE(due_at == slow_due_at);
            expected.waiting++;
            expected.next_due_us = due_at < expected.next_due_us ? due_at : expected.next_due_us;
        }
    }
    if (result == AZDLQ_OK) {
        REQUIRE(summary.due == expected.due && summary.waiting == expected.waiting);
        REQUIRE(summary.next_due_us == expected.next_due_us);
    }
    free(retry_count), free(failed_at), free(id), free(last_retry_at), free(not_before);
    free(indices), free(verdicts);
}

/* A letter of another id has the same stamp; of letters that differ in what decides, the stamps
 * may be the same once in 2^32 times, so that nothing is said of them. */
static void stamp(azdlq_letter letter)
{
    uint32_t before = azdlq_stamp(&letter);
    letter.id = ~letter.id;
    REQUIRE(azdlq_stamp(&letter) == before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    azdlq_rules rules;
    azdlq_letter letters[MOST];

    rules.waive_delay = take_byte(&in) % 8 == 1;
    int there = take_byte(&in);
    rules.now_us = take_number(&in);
    rules.max_retries = take_number(&in);
    rules.min_age_us = take_number(&in);
    rules.backoff = take_backoff(&in);
    int is_valid = azdlq_rules_check(&rules) == AZDLQ_OK;
    REQUIRE(is_valid == (rules.max_retries >= 0 && rules.min_age_us >= 0
                         && is_backoff(&rules.backoff)));
    if (!is_valid) {
        return 0;
    }
    size_t count = take_byte(&in) % (MOST + 1);
    memset(letters, 0, sizeof letters);
    for (size_t i = 0; i < count; i++) {
        letters[i].id = take_number(&in);
        letters[i].retry_count = take_number(&in);
        letters[i].failed_at = take_number(&in);
        letters[i].last_retry_at = take_byte(&in) & 1 ? take_number(&in) : AZDLQ_NONE;
        letters[i].not_before = take_byte(&in) & 1 ? take_number(&in) : AZDLQ_NONE;
        stamp(letters[i]);
    }
    judge(&rules, letters, count, there);
    return 0;
}
