#include "backoff.h"

#include "check.h"
#include "hash.h"

static azdlq_backoff backoff(int32_t kind, int64_t initial, int64_t max)
{
    azdlq_backoff b = {0, 0, 0, 0};
    b.kind = kind;
    b.initial_us = initial;
    b.max_us = max;
    return b;
}

static int64_t delay(int32_t kind, int64_t initial, int64_t max, int64_t attempt)
{
    azdlq_backoff b = backoff(kind, initial, max);
    return azdlq_backoff_delay(&b, attempt);
}

static void members_outside_their_bounds_are_refused(void)
{
    azdlq_backoff b = backoff(AZDLQ_EXPONENTIAL, 1, 1);
    CHECK(azdlq_backoff_check(&b) == AZDLQ_OK);
    b.jitter = AZDLQ_JITTER_ONE;
    CHECK(azdlq_backoff_check(&b) == AZDLQ_OK);
    b.jitter++;
    CHECK(azdlq_backoff_check(&b) == AZDLQ_INVALID);
    b = backoff(-1, 1, 1);
    CHECK(azdlq_backoff_check(&b) == AZDLQ_INVALID);
    b = backoff(3, 1, 1);
    CHECK(azdlq_backoff_check(&b) == AZDLQ_INVALID);
    b = backoff(AZDLQ_FIXED, -1, 1);
    CHECK(azdlq_backoff_check(&b) == AZDLQ_INVALID);
    b = backoff(AZDLQ_FIXED, 1, -1);
    CHECK(azdlq_backoff_check(&b) == AZDLQ_INVALID);
}

static void fixed_ignores_attempt_and_maximum(void)
{
    CHECK(delay(AZDLQ_FIXED, 7, 3, 0) == 7);
    CHECK(delay(AZDLQ_FIXED, 7, 3, INT64_MAX) == 7);
}

static void exponential_doubles_caps_and_saturates(void)
{
    CHECK(delay(AZDLQ_EXPONENTIAL, 3, INT64_MAX, 0) == 3);
    CHECK(delay(AZDLQ_EXPONENTIAL, 3, INT64_MAX, 5) == 96);
    CHECK(delay(AZDLQ_EXPONENTIAL, 3, 95, 5) == 95);
    CHECK(delay(AZDLQ_EXPONENTIAL, 9, 2, 0) == 2);
    CHECK(delay(AZDLQ_EXPONENTIAL, 1, INT64_MAX, 62) == INT64_C(1) << 62);
    CHECK(delay(AZDLQ_EXPONENTIAL, 1, INT64_MAX, 63) == INT64_MAX);
    CHECK(delay(AZDLQ_EXPONENTIAL, 2, INT64_MAX, 62) == INT64_MAX);
    CHECK(delay(AZDLQ_EXPONENTIAL, 1, INT64_MAX, INT64_MAX) == INT64_MAX);
    CHECK(delay(AZDLQ_EXPONENTIAL, 0, INT64_MAX, INT64_MAX) == 0);
}

static void fibonacci_adds_caps_and_saturates(void)
{
    static const int64_t FIRST[] = {1, 1, 2, 3, 5, 8, 13, 21};
    int64_t last = 1;
    int64_t value = 1;
    for (int64_t attempt = 0; attempt < 8; attempt++) {
        CHECK(delay(AZDLQ_FIBONACCI, 1, INT64_MAX, attempt) == FIRST[attempt]);
    }
    for (int64_t attempt = 2; attempt < 92; attempt++) {
        int64_t sum = last + value;
        last = value;
        value = sum;
        CHECK(delay(AZDLQ_FIBONACCI, 1, INT64_MAX, attempt) == value);
    }
    CHECK(delay(AZDLQ_FIBONACCI, 2, INT64_MAX, 91) == INT64_MAX);
    CHECK(delay(AZDLQ_FIBONACCI, 1, INT64_MAX, 92) == INT64_MAX);
    CHECK(delay(AZDLQ_FIBONACCI, 1, INT64_MAX, INT64_MAX) == INT64_MAX);
    CHECK(delay(AZDLQ_FIBONACCI, 0, INT64_MAX, 92) == 0);
    CHECK(delay(AZDLQ_FIBONACCI, 10, 25, 3) == 25);
}

static void a_buffer_may_be_overwritten_in_place(void)
{
    azdlq_backoff b = backoff(AZDLQ_EXPONENTIAL, 10, 35);
    int64_t values[] = {0, 1, 2};
    size_t negative = 99;
    CHECK(azdlq_backoff_delays(&b, values, 3, values, &negative) == AZDLQ_OK);
    CHECK(values[0] == 10 && values[1] == 20 && values[2] == 35);
    CHECK(negative == 99);
}

static void the_first_negative_attempt_is_reported_and_nothing_written(void)
{
    azdlq_backoff b = backoff(AZDLQ_EXPONENTIAL, 10, 35);
    const int64_t attempts[] = {0, 1, -1, -2};
    int64_t out[] = {5, 5, 5, 5};
    size_t negative = 99;
    CHECK(azdlq_backoff_delays(&b, attempts, 4, out, &negative) == AZDLQ_INVALID);
    CHECK(negative == 2);
    CHECK(out[0] == 5 && out[1] == 5);
}

static void jitter_lessens_by_up_to_its_share(void)
{
    for (int64_t id = -50; id < 50; id++) {
        int64_t half = azdlq_backoff_jittered(1000000, AZDLQ_JITTER_ONE / 2, id, 3);
        CHECK(half > 500000 - 1 && half <= 1000000);
        CHECK(azdlq_backoff_jittered(1000000, 0, id, 3) == 1000000);
        CHECK(azdlq_backoff_jittered(INT64_MAX, AZDLQ_JITTER_ONE, id, 3) >= 0);
        CHECK(azdlq_backoff_jittered(0, AZDLQ_JITTER_ONE, id, 3) == 0);
    }
}

static void the_hash_is_the_documented_one(void)
{
    /* The first output of splitmix64 from state 0. */
    CHECK(azdlq_mix64(0) == UINT64_C(0xE220A8397B1DCDAF));
    uint64_t hash = azdlq_mix64(azdlq_mix64(42) + 3) >> 32;
    int64_t whole = INT64_C(1) << 32;
    CHECK(azdlq_backoff_jittered(whole, AZDLQ_JITTER_ONE, 42, 3) == whole - (int64_t)hash);
}

int main(void)
{
    members_outside_their_bounds_are_refused();
    fixed_ignores_attempt_and_maximum();
    exponential_doubles_caps_and_saturates();
    fibonacci_adds_caps_and_saturates();
    a_buffer_may_be_overwritten_in_place();
    the_first_negative_attempt_is_reported_and_nothing_written();
    jitter_lessens_by_up_to_its_share();
    the_hash_is_the_documented_one();
    FINISH();
}
