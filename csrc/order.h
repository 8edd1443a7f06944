#ifndef AZDLQ_ORDER_H
#define AZDLQ_ORDER_H

#include <stddef.h>
#include <stdint.h>

/* What a due letter is sorted by, and what is kept of it then: 24 bytes. */
typedef struct azdlq_key {
    int64_t instant_us;
    int64_t id;
    int32_t rank;
    uint32_t stamp;
} azdlq_key;

/* Sorts in place by rank, instant (`descending` != 0: latest first), id, stamp; all but the
 * instant always ascending. O(n log n) at worst, O(n) where nearly all are in order already;
 * no allocation, recursion no deeper than log2(n). */
void azdlq_sort(azdlq_key *keys, size_t count, int descending);

/* Leaves nothing of the keys but their ids, one behind the other at the front of the same memory
 * (which is returned), and their stamps. */
int64_t *azdlq_keep_ids(azdlq_key *keys, size_t count, uint32_t *stamps);

#endif
