#include "eligibility.h"

#include "check.h"

static const azdlq_rules RULES = {1000, 3, 5, {AZDLQ_EXPONENTIAL, 10, 100, 0}, 0};
static const azdlq_letter LETTER = {1, 0, 900, AZDLQ_NONE, AZDLQ_NONE};

static void members_outside_their_bounds_are_refused(void)
{
    azdlq_rules rules = RULES;
    CHECK(azdlq_rules_check(&rules) == AZDLQ_OK);
    rules.max_retries = -1;
    CHECK(azdlq_rules_check(&rules) == AZDLQ_INVALID);
    rules = RULES;
    rules.min_age_us = -1;
    CHECK(azdlq_rules_check(&rules) == AZDLQ_INVALID);
    rules = RULES;
    rules.backoff.kind = 9;
    CHECK(azdlq_rules_check(&rules) == AZDLQ_INVALID);
}

static azdlq_verdict judge(const azdlq_rules *rules, azdlq_letter letter)
{
    int64_t due_at = 0;
    return azdlq_judge(rules, &letter, &due_at);
}

static void unreadable_columns_are_told_in_their_order(void)
{
    azdlq_letter letter = {1, AZDLQ_NONE, AZDLQ_NONE, AZDLQ_UNREADABLE, AZDLQ_NONE};
    CHECK(judge(&RULES, letter) == AZDLQ_BAD_RETRY_COUNT);
    letter.retry_count = AZDLQ_UNREADABLE;
    CHECK(judge(&RULES, letter) == AZDLQ_BAD_RETRY_COUNT);
    letter.retry_count = -1;
    CHECK(judge(&RULES, letter) == AZDLQ_NEGATIVE_RETRY_COUNT);
    letter.retry_count = 3;
    CHECK(judge(&RULES, letter) == AZDLQ_BAD_FAILED_AT);
    letter.failed_at = AZDLQ_UNREADABLE;
    CHECK(judge(&RULES, letter) == AZDLQ_BAD_FAILED_AT);
    letter.failed_at = 900;
    CHECK(judge(&RULES, letter) == AZDLQ_BAD_LAST_RETRY_AT);
    letter.last_retry_at = AZDLQ_NONE;
    CHECK(judge(&RULES, letter) == AZDLQ_EXHAUSTED);
    letter.retry_count = 2;
    CHECK(judge(&RULES, letter) == AZDLQ_DUE);
}

static void the_longer_of_delay_and_min_age_counts(void)
{
    azdlq_rules rules = RULES;
    azdlq_letter letter = LETTER;
    int64_t due_at = 0;
    letter.failed_at = 991;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_WAITING && due_at == 1001);
    letter.failed_at = 990;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_DUE);
    rules.min_age_us = 11;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_WAITING && due_at == 1001);
}

static void the_last_retry_counts_before_the_failure(void)
{
    azdlq_letter letter = LETTER;
    int64_t due_at = 0;
    letter.last_retry_at = 2000;
    letter.retry_count = 1;
    CHECK(azdlq_judge(&RULES, &letter, &due_at) == AZDLQ_WAITING && due_at == 2020);
}

static void not_before_takes_the_place_of_the_delay(void)
{
    azdlq_letter letter = LETTER;
    int64_t due_at = 0;
    letter.not_before = 1001;
    CHECK(azdlq_judge(&RULES, &letter, &due_at) == AZDLQ_WAITING && due_at == 1001);
    letter.failed_at = 5000;
    letter.not_before = 1000;
    CHECK(azdlq_judge(&RULES, &letter, &due_at) == AZDLQ_DUE);
    letter.not_before = AZDLQ_UNREADABLE;
    CHECK(azdlq_judge(&RULES, &letter, &due_at) == AZDLQ_WAITING && due_at == 5010);
}

static void a_due_instant_beyond_int64_never_comes(void)
{
    azdlq_rules rules = RULES;
    azdlq_letter letter = LETTER;
    int64_t due_at = 0;
    rules.now_us = INT64_MAX;
    letter.failed_at = INT64_MAX - 10;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_DUE);
    letter.failed_at = INT64_MAX - 9;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_WAITING && due_at == INT64_MAX);
    rules.now_us = INT64_MIN;
    letter.failed_at = AZDLQ_UNREADABLE + 1;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_WAITING);
}

static void a_waived_delay_leaves_only_the_limit(void)
{
    azdlq_rules rules = RULES;
    azdlq_letter letter = LETTER;
    rules.waive_delay = 1;
    letter.failed_at = INT64_MAX;
    letter.not_before = INT64_MAX;
    CHECK(judge(&rules, letter) == AZDLQ_DUE);
    letter.retry_count = 3;
    CHECK(judge(&rules, letter) == AZDLQ_EXHAUSTED);
}

static void jitter_makes_letters_due_earlier(void)
{
    azdlq_rules rules = RULES;
    azdlq_letter letter = LETTER;
    int64_t due_at = 0;
    rules.backoff.initial_us = 100;
    rules.backoff.jitter = AZDLQ_JITTER_ONE;
    letter.failed_at = 1000;
    CHECK(azdlq_judge(&rules, &letter, &due_at) == AZDLQ_WAITING);
    int64_t delay = azdlq_backoff_jittered(100, AZDLQ_JITTER_ONE, letter.id, 0);
    CHECK(due_at == 1000 + (delay > 5 ? delay : 5));
}

static void columns_are_judged_like_letters(void)
{
    const int64_t retry_count[] = {0, 0, 3, 0, -1};
    const int64_t failed_at[] = {900, 995, 900, 994, 900};
    azdlq_columns columns = {NULL, NULL, NULL, NULL, NULL};
    azdlq_due_summary summary;
    int64_t indices[5];
    uint8_t verdicts[5];
    columns.retry_count = retry_count;
    columns.failed_at = failed_at;
    CHECK(azdlq_due(&RULES, &columns, 5, indices, verdicts, &summary) == AZDLQ_OK);
    CHECK(summary.due == 1 && summary.waiting == 2 && summary.next_due_us == 1004);
    CHECK(indices[0] == 0);
    CHECK(verdicts[0] == AZDLQ_DUE && verdicts[1] == AZDLQ_WAITING);
    CHECK(verdicts[2] == AZDLQ_EXHAUSTED && verdicts[4] == AZDLQ_NEGATIVE_RETRY_COUNT);
    const int64_t later[] = {2000, 0, 0, 0, 0};
    columns.last_retry_at = later;
    CHECK(azdlq_due(&RULES, &columns, 5, indices, NULL, &summary) == AZDLQ_OK);
    CHECK(summary.due == 2 && indices[0] == 1 && indices[1] == 3);
    CHECK(summary.waiting == 1 && summary.next_due_us == 2010);
    columns.not_before = failed_at;
    CHECK(azdlq_due(&RULES, &columns, 5, indices, NULL, &summary) == AZDLQ_OK);
    CHECK(summary.due == 3 && summary.waiting == 0 && summary.next_due_us == INT64_MAX);
}

static void a_column_of_any_values_is_judged_like_its_letters(void)
{
    static const int64_t COUNTS[] = {AZDLQ_NONE, AZDLQ_UNREADABLE, -1, 0, 1, 2, 3, 62, 63, 64, 65,
                                     99, 100, 101, INT64_MAX};
    static const int64_t INSTANTS[] = {AZDLQ_NONE, AZDLQ_UNREADABLE, AZDLQ_UNREADABLE + 1, -1000,
                                       0, 890, 900, 990, 995, 1000, 2000, INT64_MAX - 10,
                                       INT64_MAX};
    static const int64_t LIMITS[] = {0, 1, 3, 63, 64, 65, 100, INT64_MAX};
    enum { COUNTS_SIZE = sizeof COUNTS / sizeof *COUNTS };
    enum { INSTANTS_SIZE = sizeof INSTANTS / sizeof *INSTANTS };
    enum { SIZE = COUNTS_SIZE * INSTANTS_SIZE * INSTANTS_SIZE * INSTANTS_SIZE };
    static int64_t id[SIZE], count[SIZE], failed[SIZE], last[SIZE], not_before[SIZE];
    static int64_t indices[SIZE];
    static uint8_t verdicts[SIZE];
    azdlq_columns columns = {id, count, failed, last, not_before};
    azdlq_due_summary summary;

    for (size_t i = 0; i < SIZE; i++) {
        id[i] = (int64_t)i;
        count[i] = COUNTS[i % COUNTS_SIZE];
        failed[i] = INSTANTS[i / COUNTS_SIZE % INSTANTS_SIZE];
        last[i] = INSTANTS[i / COUNTS_SIZE / INSTANTS_SIZE % INSTANTS_SIZE];
        not_before[i] = INSTANTS[i / COUNTS_SIZE / INSTANTS_SIZE / INSTANTS_SIZE];
    }
    for (size_t n = 0; n < 8 * sizeof LIMITS / sizeof *LIMITS; n++) {
        azdlq_rules rules = RULES;
        size_t due = 0, waiting = 0;
        int64_t next = INT64_MAX;
        rules.max_retries = LIMITS[n / 8];
        rules.now_us = n & 1 ? INT64_MAX : 1000;
        rules.waive_delay = n >> 1 & 1;
        rules.backoff.jitter = n & 4 ? AZDLQ_JITTER_ONE / 2 : 0;
        CHECK(azdlq_due(&rules, &columns, SIZE, indices, verdicts, &summary) == AZDLQ_OK);
        for (size_t i = 0; i < SIZE; i++) {
            azdlq_letter letter = {id[i], count[i], failed[i], last[i], not_before[i]};
            int64_t due_at = INT64_MAX;
            azdlq_verdict verdict = azdlq_judge(&rules, &letter, &due_at);
            CHECK(verdicts[i] == verdict);
            if (verdict == AZDLQ_DUE) {
                CHECK(indices[due++] == (int64_t)i);
            }
            else if (verdict == AZDLQ_WAITING) {
                waiting++;
                next = due_at < next ? due_at : next;
            }
        }
        CHECK(summary.due == due && summary.waiting == waiting && summary.next_due_us == next);
    }
}

static void jitter_needs_ids(void)
{
    const int64_t column[] = {0};
    azdlq_columns columns = {NULL, NULL, NULL, NULL, NULL};
    azdlq_rules rules = RULES;
    azdlq_due_summary summary;
    int64_t index;
    columns.retry_count = columns.failed_at = column;
    rules.backoff.jitter = 1;
    CHECK(azdlq_due(&rules, &columns, 1, &index, NULL, &summary) == AZDLQ_INVALID);
    columns.id = column;
    CHECK(azdlq_due(&rules, &columns, 1, &index, NULL, &summary) == AZDLQ_OK);
}

static void the_stamp_tells_each_column_but_the_id(void)
{
    azdlq_letter letter = LETTER;
    uint32_t stamp = azdlq_stamp(&letter);
    letter.id = 2;
    CHECK(azdlq_stamp(&letter) == stamp);
    letter.retry_count = 1;
    CHECK(azdlq_stamp(&letter) != stamp);
    letter = LETTER;
    letter.failed_at++;
    CHECK(azdlq_stamp(&letter) != stamp);
    letter = LETTER;
    letter.last_retry_at = letter.failed_at;
    CHECK(azdlq_stamp(&letter) != stamp);
    letter = LETTER;
    letter.not_before = 0;
    CHECK(azdlq_stamp(&letter) != stamp);
}

int main(void)
{
    members_outside_their_bounds_are_refused();
    unreadable_columns_are_told_in_their_order();
    the_longer_of_delay_and_min_age_counts();
    the_last_retry_counts_before_the_failure();
    not_before_takes_the_place_of_the_delay();
    a_due_instant_beyond_int64_never_comes();
    a_waived_delay_leaves_only_the_limit();
    jitter_makes_letters_due_earlier();
    columns_are_judged_like_letters();
    a_column_of_any_values_is_judged_like_its_letters();
    jitter_needs_ids();
    the_stamp_tells_each_column_but_the_id();
    FINISH();
}
