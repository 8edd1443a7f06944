#include "utf8.h"

#include <stdint.h>
#include <string.h>

typedef unsigned char byte;

static bool is_continuation(byte b)
{
    return (b & 0xC0u) == 0x80u;
}

/* The length of the well-formed sequence of two to four bytes that begins at `p`; 0 where none
 * does. Source: The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences". */
static size_t sequence_length(const byte *p, size_t left)
{
    size_t length = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    if (p[0] < 0xC2 || p[0] > 0xF4 || left < length || !is_continuation(p[1])) {
        return 0;
    }
    bool overlong = (p[0] == 0xE0 && p[1] < 0xA0) || (p[0] == 0xF0 && p[1] < 0x90);
    bool surrogate = p[0] == 0xED && p[1] >= 0xA0;
    bool too_large = p[0] == 0xF4 && p[1] >= 0x90;
    if (overlong || surrogate || too_large) {
        return 0;
    }
    for (size_t i = 2; i < length; i++) {
        if (!is_continuation(p[i])) {
            return 0;
        }
    }
    return length;
}

bool azdlq_utf8_valid(const char *text, size_t length)
{
    const byte *p = (const byte *)text;
    const byte *end = p + length;
    while (p < end) {
        uint64_t eight;
        while (end - p >= 8
               && (memcpy(&eight, p, 8), (eight & UINT64_C(0x8080808080808080)) == 0)) {
            p += 8;
        }
        while (p < end && *p < 0x80) {
            p++;
        }
        if (p == end) {
            return true;
        }
        size_t step = sequence_length(p, (size_t)(end - p));
        if (step == 0) {
            return false;
        }
        p += step;
    }
    return true;
}
