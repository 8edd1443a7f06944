#include "backoff.h"

#include "fuzz.h"
#include "slow_backoff.h"

enum { MOST = 64 };

static void one_by_one(const azdlq_backoff *backoff, const int64_t *attempts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (attempts[i] < 0) {
            continue;
        }
        int64_t delay = azdlq_backoff_delay(backoff, attempts[i]);
        REQUIRE(delay == slow_delay(backoff, attempts[i]));
        int64_t id = attempts[count - 1 - i];
        int64_t jittered = azdlq_backoff_jittered(delay, backoff->jitter, id, attempts[i]);
        REQUIRE(jittered == slow_jittered(delay, backoff->jitter, id, attempts[i]));
        REQUIRE(0 <= jittered && jittered <= delay);
    }
}

static void all_at_once(const azdlq_backoff *backoff, int64_t *attempts, size_t count, int in_place)
{
    size_t first = 0;
    size_t negative = SIZE_MAX;
    while (first < count && attempts[first] >= 0) {
        first++;
    }
    int64_t *before = room(count, sizeof *before);
    int64_t *delays = in_place ? attempts : room(count, sizeof *delays);
    for (size_t i = 0; i < count; i++) {
        before[i] = attempts[i];
        delays[i] = in_place ? attempts[i] : -7;
    }
    azdlq_result result = azdlq_backoff_delays(backoff, attempts, count, delays, &negative);
    REQUIRE(result == (first < count ? AZDLQ_INVALID : AZDLQ_OK));
    REQUIRE(negative == (first < count ? first : SIZE_MAX));
    for (size_t i = 0; i < count; i++) {
        int64_t untouched = in_place ? before[i] : -7;
        REQUIRE(delays[i] == (first < count ? untouched : slow_delay(backoff, before[i])));
    }
    if (!in_place) {
        free(delays);
    }
    free(before);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    azdlq_backoff backoff = take_backoff(&in);
    int is_valid = azdlq_backoff_check(&backoff) == AZDLQ_OK;
    REQUIRE(is_valid == is_backoff(&backoff));
    if (!is_valid) {
        return 0;
    }
    int in_place = take_byte(&in) & 1;
    size_t count = take_byte(&in) % (MOST + 1);
    int64_t *attempts = room(count, sizeof *attempts);
    for (size_t i = 0; i < count; i++) {
        attempts[i] = take_number(&in);
    }
    one_by_one(&backoff, attempts, count);
    all_at_once(&backoff, attempts, count, in_place);
    free(attempts);
    return 0;
}
