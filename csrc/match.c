#include "match.h"

#include <stdbool.h>

static unsigned char folded(char c)
{
    unsigned char byte = (unsigned char)c;
    return (unsigned)byte - 'A' < 26u ? (unsigned char)(byte | 0x20u) : byte;
}

static unsigned char upper(unsigned char byte)
{
    return (unsigned)byte - 'a' < 26u ? (unsigned char)(byte & 0xDFu) : byte;
}

void azdlq_needles_init(azdlq_needles *index, const azdlq_needle *needles, int32_t *next,
                        int32_t count)
{
    index->needles = needles;
    index->next = next;
    index->count = count;
    for (int byte = 0; byte < 256; byte++) {
        index->first[byte] = count;
    }
    for (int32_t place = count; place-- > 0;) {
        unsigned char byte = (unsigned char)needles[place].text[0];
        next[place] = index->first[byte];
        index->first[byte] = place;
        index->first[upper(byte)] = place;
    }
}

/* Whether the needle, whose first byte is known to match, stands at `text`. */
static bool stands_at(const azdlq_needle *needle, const char *text, size_t length)
{
    if (needle->length > length) {
        return false;
    }
    for (size_t i = 1; i < needle->length; i++) {
        if (folded(text[i]) != (unsigned char)needle->text[i]) {
            return false;
        }
    }
    return true;
}

int32_t azdlq_match(const azdlq_needles *index, const char *text, size_t length)
{
    int32_t found = index->count;
    for (size_t i = 0; i < length; i++) {
        int32_t place = index->first[(unsigned char)text[i]];
        while (place < found && !stands_at(&index->needles[place], text + i, length - i)) {
            place = index->next[place];
        }
        found = place < found ? place : found;
    }
    return found;
}
