#include "order.h"

#include "fuzz.h"

#include <string.h>

static int descending;

static int three_way(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int compared(const void *left, const void *right)
{
    const azdlq_key *a = left, *b = right;
    int by_instant = three_way(a->instant_us, b->instant_us);
    int by[] = {three_way(a->rank, b->rank), descending ? -by_instant : by_instant,
                three_way(a->id, b->id), three_way(a->stamp, b->stamp)};
    for (int i = 0; i < 4; i++) {
        if (by[i] != 0) {
            return by[i];
        }
    }
    return 0;
}

static int64_t spread(uint8_t byte)
{
    return byte == 0 ? INT64_MIN : byte == 255 ? INT64_MAX : byte - 128;
}

/* Three bytes a key, so that many tie; where `stable`, the stamps are their places. */
static void take_keys(input *in, azdlq_key *keys, size_t count, int stable)
{
    for (size_t i = 0; i < count; i++) {
        keys[i].instant_us = spread(take_byte(in));
        keys[i].id = spread(take_byte(in));
        uint8_t both = take_byte(in);
        keys[i].rank = both >> 4 == 15 ? INT32_MAX : both >> 4 == 14 ? INT32_MIN : both >> 4;
        keys[i].stamp = stable ? (uint32_t)i : both % 16u;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    uint8_t mode = take_byte(&in);
    size_t count = in.size / 3;
    azdlq_key *keys = room(count, sizeof *keys);
    azdlq_key *expected = room(count, sizeof *expected);
    uint32_t *stamps = room(count, sizeof *stamps);

    descending = mode & 1;
    take_keys(&in, keys, count, mode & 2);
    memcpy(expected, keys, count * sizeof *keys);
    /* No two orders of keys that differ are right: what qsort makes of them is the only one. */
    qsort(expected, count, sizeof *expected, compared);
    azdlq_sort(keys, count, descending);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(keys[i].instant_us == expected[i].instant_us && keys[i].id == expected[i].id);
        REQUIRE(keys[i].rank == expected[i].rank && keys[i].stamp == expected[i].stamp);
    }
    const unsigned char *ids = (const unsigned char *)azdlq_keep_ids(keys, count, stamps);
    REQUIRE(ids == (const unsigned char *)keys);
    for (size_t i = 0; i < count; i++) {
        REQUIRE(memcmp(ids + i * sizeof(int64_t), &expected[i].id, sizeof(int64_t)) == 0);
        REQUIRE(stamps[i] == expected[i].stamp);
    }
    free(keys);
    free(expected);
    free(stamps);
    return 0;
}
