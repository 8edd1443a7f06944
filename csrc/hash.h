#ifndef AZDLQ_HASH_H
#define AZDLQ_HASH_H

#include <stdint.h>

/* The output function of splitmix64: a bijection on 64 bits, in wrapping unsigned arithmetic. */
static inline uint64_t azdlq_mix64(uint64_t x)
{
    x += UINT64_C(0x9E3779B97F4A7C15);
    x = (x ^ (x >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94D049BB133111EB);
    return x ^ (x >> 31);
}

#endif
