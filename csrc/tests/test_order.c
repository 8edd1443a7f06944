#include "order.h"

#include "check.h"
#include "hash.h"

#include <string.h>

enum { MOST = 20000 };

static azdlq_key keys[MOST];

/* Values of a field by place; the sum of the ids shows that no key is lost. */
typedef int64_t (*pattern)(size_t place, size_t count);

static int64_t ascending(size_t place, size_t count)
{
    (void)count;
    return (int64_t)place;
}

static int64_t falling(size_t place, size_t count)
{
    return (int64_t)(count - place);
}

static int64_t falling_groups(size_t place, size_t count)
{
    return (int64_t)((count - place) / 50);
}

static int64_t shuffled(size_t place, size_t count)
{
    (void)count;
    return (int64_t)azdlq_mix64(place);
}

static int64_t few_values(size_t place, size_t count)
{
    (void)count;
    return (int64_t)(azdlq_mix64(place) % 3);
}

static int64_t organ_pipe(size_t place, size_t count)
{
    return (int64_t)(place < count / 2 ? place : count - place);
}

static int64_t nearly_sorted(size_t place, size_t count)
{
    (void)count;
    return (int64_t)(place + azdlq_mix64(place) % 40);
}

static int64_t extremes(size_t place, size_t count)
{
    (void)count;
    return azdlq_mix64(place) % 2 ? INT64_MIN : INT64_MAX;
}

static int64_t constant(size_t place, size_t count)
{
    (void)place;
    (void)count;
    return 7;
}

static int in_order(const azdlq_key *a, const azdlq_key *b, int descending)
{
    if (a->rank != b->rank) {
        return a->rank < b->rank;
    }
    if (a->instant_us != b->instant_us) {
        return descending ? a->instant_us > b->instant_us : a->instant_us < b->instant_us;
    }
    return a->id != b->id ? a->id < b->id : a->stamp <= b->stamp;
}

static void sort_and_check(pattern instants, pattern ids, size_t count, int32_t ranks,
                           int descending)
{
    uint64_t ids_before = 0;
    uint64_t ids_after = 0;
    for (size_t i = 0; i < count; i++) {
        keys[i].instant_us = instants(i, count);
        keys[i].id = ids(i, count);
        keys[i].rank = (int32_t)(azdlq_mix64(i) % (uint64_t)ranks);
        keys[i].stamp = (uint32_t)i;
        ids_before += azdlq_mix64((uint64_t)keys[i].id + keys[i].stamp);
    }
    azdlq_sort(keys, count, descending);
    for (size_t i = 0; i < count; i++) {
        ids_after += azdlq_mix64((uint64_t)keys[i].id + keys[i].stamp);
        CHECK(i == 0 || in_order(&keys[i - 1], &keys[i], descending));
    }
    CHECK(ids_before == ids_after);
}

static void every_pattern_is_sorted(void)
{
    static const pattern PATTERNS[] = {ascending,  falling,       falling_groups, shuffled, few_values,
                                       organ_pipe, nearly_sorted, extremes,       constant};
    static const size_t COUNTS[] = {0, 1, 2, 3, 24, 25, 26, 100, 1000, MOST};
    for (size_t p = 0; p < sizeof PATTERNS / sizeof PATTERNS[0]; p++) {
        for (size_t c = 0; c < sizeof COUNTS / sizeof COUNTS[0]; c++) {
            for (int mode = 0; mode < 4; mode++) {
                int32_t ranks = mode < 2 ? 1 : 3;
                sort_and_check(PATTERNS[p], ascending, COUNTS[c], ranks, mode & 1);
                sort_and_check(constant, PATTERNS[p], COUNTS[c], ranks, mode & 1);
            }
        }
    }
}

/* The median of first, middle and last is the second smallest key of a range: its partition takes
 * off two keys, and the heap sort has to take over. */
static void lopsided_splits_are_sorted(void)
{
    size_t count = MOST;
    for (size_t i = 0; i < count; i++) {
        keys[i].rank = 0;
        keys[i].stamp = 0;
        keys[i].id = 0;
        keys[i].instant_us = (int64_t)i;
    }
    for (size_t start = count - 4; start > 1; start -= 2) {
        azdlq_key *range = keys + start - 2;
        size_t middle = (count - start + 2) / 2;
        azdlq_key second = range[1];
        range[1] = range[middle];
        range[middle] = second;
    }
    azdlq_sort(keys, count, 0);
    for (size_t i = 0; i < count; i++) {
        CHECK(keys[i].instant_us == (int64_t)i);
    }
}

static void ids_and_stamps_are_kept(void)
{
    enum { COUNT = 5 };
    azdlq_key sorted[COUNT];
    uint32_t stamps[COUNT];
    for (int i = 0; i < COUNT; i++) {
        sorted[i] = (azdlq_key){-i, INT64_MAX - i, i, UINT32_MAX - (uint32_t)i};
    }
    int64_t *ids = azdlq_keep_ids(sorted, COUNT, stamps);
    CHECK((void *)ids == (void *)sorted);
    for (int i = 0; i < COUNT; i++) {
        int64_t id;
        memcpy(&id, &ids[i], sizeof id);
        CHECK(id == INT64_MAX - i);
        CHECK(stamps[i] == UINT32_MAX - (uint32_t)i);
    }
}

int main(void)
{
    ids_and_stamps_are_kept();
    every_pattern_is_sorted();
    lopsided_splits_are_sorted();
    FINISH();
}
