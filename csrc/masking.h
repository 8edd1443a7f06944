#ifndef AZDLQ_MASKING_H
#define AZDLQ_MASKING_H

#include "shapes.h"

#define AZDLQ_QUOTES "\"'`"

/* A template while it is made. */
typedef struct azdlq_masking {
    azdlq_text text;
    size_t place; /* in `text` */
    char *out;
    size_t length;     /* of what is written */
    size_t mask_end;   /* of the last placeholder; 0: there is none */
    size_t word;       /* where in `text` the last word begins */
    size_t word_end;
    size_t closing[3]; /* of each of AZDLQ_QUOTES: the next that closes */
    size_t literal[3]; /* of each of AZDLQ_QUOTES: one that ends a sentence */
    bool has_no_values; /* in parentheses, from here on */
} azdlq_masking;

/* Writes the text up to `end` as it is. */
void azdlq_copy(azdlq_masking *m, size_t end);

/* Writes a placeholder for what ends at `end`; of several in a row the first one stands. */
void azdlq_put(azdlq_masking *m, const char *placeholder, size_t end);

/* The same for something of this length; false where there is nothing. */
bool azdlq_put_found(azdlq_masking *m, const char *placeholder, size_t found);

#endif
