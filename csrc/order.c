#include "order.h"

#include <stdbool.h>
#include <string.h>

enum { INSERTION_LIMIT = 24, MOVES_PER_KEY = 4 };

static bool before(const azdlq_key *a, const azdlq_key *b)
{
    if (a->rank != b->rank) {
        return a->rank < b->rank;
    }
    if (a->instant_us != b->instant_us) {
        return a->instant_us < b->instant_us;
    }
    if (a->id != b->id) {
        return a->id < b->id;
    }
    return a->stamp < b->stamp;
}

static void swap(azdlq_key *a, azdlq_key *b)
{
    azdlq_key held = *a;
    *a = *b;
    *b = held;
}

/* False where more than `budget` moves were needed; the keys are then a permutation still. */
static bool insertion_sort(azdlq_key *keys, size_t count, size_t budget)
{
    for (size_t i = 1; i < count; i++) {
        if (!before(&keys[i], &keys[i - 1])) {
            continue;
        }
        azdlq_key held = keys[i];
        size_t place = i;
        do {
            keys[place] = keys[place - 1];
            place--;
        } while (place > 0 && before(&held, &keys[place - 1]));
        keys[place] = held;
        if (i - place > budget) {
            return false;
        }
        budget -= i - place;
    }
    return true;
}

static bool reverse_if_descending(azdlq_key *keys, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        if (!before(&keys[i], &keys[i - 1])) {
            return false;
        }
    }
    for (size_t i = 0; i < count / 2; i++) {
        swap(&keys[i], &keys[count - 1 - i]);
    }
    return true;
}

static void sift_down(azdlq_key *keys, size_t root, size_t count)
{
    azdlq_key held = keys[root];
    for (size_t child = 2 * root + 1; child < count; child = 2 * root + 1) {
        if (child + 1 < count && before(&keys[child], &keys[child + 1])) {
            child++;
        }
        if (!before(&held, &keys[child])) {
            break;
        }
        keys[root] = keys[child];
        root = child;
    }
    keys[root] = held;
}

static void heap_sort(azdlq_key *keys, size_t count)
{
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(keys, i, count);
    }
    for (size_t last = count; last-- > 1;) {
        swap(&keys[0], &keys[last]);
        sift_down(keys, 0, last);
    }
}

static void order_three(azdlq_key *a, azdlq_key *b, azdlq_key *c)
{
    if (before(b, a)) {
        swap(a, b);
    }
    if (before(c, b)) {
        swap(b, c);
    }
    if (before(b, a)) {
        swap(a, b);
    }
}

/* Hoare's partition around the median of three: 0 < split < count, no key of [0, split) after any
 * key of [split, count). */
static size_t partition(azdlq_key *keys, size_t count)
{
    order_three(&keys[0], &keys[count / 2], &keys[count - 1]);
    azdlq_key pivot = keys[count / 2];
    size_t low = 0;
    size_t high = count - 1;
    for (;;) {
        while (before(&keys[low], &pivot)) {
            low++;
        }
        while (before(&pivot, &keys[high])) {
            high--;
        }
        if (low >= high) {
            return low;
        }
        swap(&keys[low++], &keys[high--]);
    }
}

static void quick_sort(azdlq_key *keys, size_t count, unsigned bad_splits_left)
{
    while (count > INSERTION_LIMIT) {
        size_t split = partition(keys, count);
        size_t rest = count - split;
        size_t shorter = split < rest ? split : rest;
        if (shorter < count / 8 && bad_splits_left-- == 0) {
            heap_sort(keys, count);
            return;
        }
        /* The longer side goes on in this loop: that bounds the depth by log2(count). */
        if (split < rest) {
            quick_sort(keys, split, bad_splits_left);
            keys += split;
            count = rest;
        }
        else {
            quick_sort(keys + split, rest, bad_splits_left);
            count = split;
        }
    }
    insertion_sort(keys, count, (size_t)INSERTION_LIMIT * INSERTION_LIMIT);
}

static unsigned log2_floor(size_t n)
{
    unsigned bits = 0;
    while (n >>= 1) {
        bits++;
    }
    return bits;
}

static void flip_instants(azdlq_key *keys, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        keys[i].instant_us = ~keys[i].instant_us;
    }
}

void azdlq_sort(azdlq_key *keys, size_t count, int descending)
{
    /* ~x reverses the order of all int64, so that one comparison serves both directions. */
    if (descending) {
        flip_instants(keys, count);
    }
    if (!reverse_if_descending(keys, count)
        && !insertion_sort(keys, count, MOVES_PER_KEY * count)) {
        quick_sort(keys, count, log2_floor(count));
    }
    if (descending) {
        flip_instants(keys, count);
    }
}

int64_t *azdlq_keep_ids(azdlq_key *keys, size_t count, uint32_t *stamps)
{
    unsigned char *ids = (unsigned char *)keys;
    for (size_t i = 0; i < count; i++) {
        azdlq_key key;
        memcpy(&key, (unsigned char *)keys + i * sizeof key, sizeof key);
        stamps[i] = key.stamp;
        memcpy(ids + i * sizeof key.id, &key.id, sizeof key.id);
    }
    return (int64_t *)(void *)keys;
}
