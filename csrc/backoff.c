#include "backoff.h"

#include "hash.h"

/* F(0) .. F(91): every one that fits int64. */
static const int64_t FIBONACCI[] = {
    1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 4181, 6765, 10946,
    17711, 28657, 46368, 75025, 121393, 196418, 317811, 514229, 832040, 1346269, 2178309, 3524578,
    5702887, 9227465, 14930352, 24157817, 39088169, 63245986, 102334155, 165580141, 267914296,
    433494437, 701408733, 1134903170, 1836311903, 2971215073, 4807526976, 7778742049, 12586269025,
    20365011074, 32951280099, 53316291173, 86267571272, 139583862445, 225851433717, 365435296162,
    591286729879, 956722026041, 1548008755920, 2504730781961, 4052739537881, 6557470319842,
    10610209857723, 17167680177565, 27777890035288, 44945570212853, 72723460248141,
    117669030460994, 190392490709135, 308061521170129, 498454011879264, 806515533049393,
    1304969544928657, 2111485077978050, 3416454622906707, 5527939700884757, 8944394323791464,
    14472334024676221, 23416728348467685, 37889062373143906, 61305790721611591, 99194853094755497,
    160500643816367088, 259695496911122585, 420196140727489673, 679891637638612258,
    1100087778366101931, 1779979416004714189, 2880067194370816120, 4660046610375530309,
    7540113804746346429,
};

#define FIBONACCI_COUNT ((int64_t)(sizeof FIBONACCI / sizeof FIBONACCI[0]))

azdlq_result azdlq_backoff_check(const azdlq_backoff *backoff)
{
    if (backoff->kind < 0 || backoff->kind >= AZDLQ_KINDS) {
        return AZDLQ_INVALID;
    }
    if (backoff->initial_us < 0 || backoff->max_us < 0 || backoff->jitter > AZDLQ_JITTER_ONE) {
        return AZDLQ_INVALID;
    }
    return AZDLQ_OK;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t exponential(int64_t initial, int64_t attempt)
{
    if (initial == 0) {
        return 0;
    }
    if (attempt >= 63 || initial > INT64_MAX >> attempt) {
        return INT64_MAX;
    }
    return initial << attempt;
}

static int64_t fibonacci(int64_t initial, int64_t attempt)
{
    if (initial == 0) {
        return 0;
    }
    if (attempt >= FIBONACCI_COUNT || initial > INT64_MAX / FIBONACCI[attempt]) {
        return INT64_MAX;
    }
    return initial * FIBONACCI[attempt];
}

int64_t azdlq_backoff_delay(const azdlq_backoff *backoff, int64_t attempt)
{
    if (backoff->kind == AZDLQ_EXPONENTIAL) {
        return smaller(exponential(backoff->initial_us, attempt), backoff->max_us);
    }
    if (backoff->kind == AZDLQ_FIBONACCI) {
        return smaller(fibonacci(backoff->initial_us, attempt), backoff->max_us);
    }
    return backoff->initial_us;
}

azdlq_result azdlq_backoff_delays(const azdlq_backoff *backoff, const int64_t *attempts,
                                  size_t count, int64_t *delays, size_t *negative)
{
    for (size_t i = 0; i < count; i++) {
        if (attempts[i] < 0) {
            *negative = i;
            return AZDLQ_INVALID;
        }
    }
    for (size_t i = 0; i < count; i++) {
        delays[i] = azdlq_backoff_delay(backoff, attempts[i]);
    }
    return AZDLQ_OK;
}

int64_t azdlq_backoff_jittered(int64_t delay_us, uint64_t jitter, int64_t id, int64_t retry_count)
{
    uint64_t hash = azdlq_mix64(azdlq_mix64((uint64_t)id) + (uint64_t)retry_count) >> 32;
    uint64_t factor = (hash * jitter) >> 32;
    uint64_t delay = (uint64_t)delay_us;
    /* The 96-bit product delay * factor, in two halves that each fit 64 bits. */
    uint64_t high = (delay >> 32) * factor;
    uint64_t low = ((delay & UINT64_C(0xFFFFFFFF)) * factor) >> 32;
    return (int64_t)(delay - high - low);
}
