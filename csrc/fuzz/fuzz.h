#ifndef AZDLQ_FUZZ_H
#define AZDLQ_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* What a fuzz target is: it takes any bytes, and ends the process where an answer is wrong. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                  \
    do {                                                                    \
        if (!(condition)) {                                                 \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            abort();                                                        \
        }                                                                   \
    } while (0)

/* The bytes that are left; behind their end come zeros. */
typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static inline uint8_t take_byte(input *in)
{
    if (in->size == 0) {
        return 0;
    }
    in->size--;
    return *in->data++;
}

static inline int64_t take_bytes(input *in, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        value = value << 8 | take_byte(in);
    }
    return (int64_t)value;
}

/* A number of any size; small ones, and those near powers of two and the limits, as likely as
 * others. */
static inline int64_t take_number(input *in)
{
    switch (take_byte(in) % 8) {
    case 0:
        return take_byte(in);
    case 1:
        return -(int64_t)take_byte(in);
    case 2:
        return INT64_MAX - take_byte(in);
    case 3:
        return INT64_MIN + take_byte(in);
    case 4:
        return (INT64_C(1) << take_byte(in) % 63) - take_byte(in) % 2;
    case 5:
        return take_bytes(in, 4);
    default:
        return take_bytes(in, 8);
    }
}

/* Of exactly this size, so that a step beyond its end is seen. */
static inline void *room(size_t count, size_t size)
{
    void *items = malloc(count * size > 0 ? count * size : 1);
    REQUIRE(items != NULL);
    return items;
}

#endif
