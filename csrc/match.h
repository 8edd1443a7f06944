#ifndef AZDLQ_MATCH_H
#define AZDLQ_MATCH_H

#include <stddef.h>
#include <stdint.h>

typedef struct azdlq_needle {
    const char *text; /* no ASCII capitals; other bytes match as they are */
    size_t length;    /* >= 1 */
} azdlq_needle;

/* Needles by their first byte, in either case. The caller owns `needles` and `next` and keeps both alive. */
typedef struct azdlq_needles {
    const azdlq_needle *needles;
    int32_t *next; /* the next place of a needle with the same first byte, `count` at the end */
    int32_t count;
    int32_t first[256];
} azdlq_needles;

/* Fills `index` over `count` needles; `next` has room for `count`. */
void azdlq_needles_init(azdlq_needles *index, const azdlq_needle *needles, int32_t *next,
                        int32_t count);

/* The lowest place of a needle that occurs in `text`, literally and ASCII-case-insensitively;
 * `count` where none does. */
int32_t azdlq_match(const azdlq_needles *index, const char *text, size_t length);

#endif
