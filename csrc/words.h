#ifndef AZDLQ_WORDS_H
#define AZDLQ_WORDS_H

#include "masking.h"

/* Whether the last word stands in a list, as of `azdlq_is_among`. */
bool azdlq_last_word_is(const azdlq_masking *m, const azdlq_word *words);

/* Masks what begins with a letter, a digit or `_`. */
void azdlq_mask_token(azdlq_masking *m);

#endif
