#include "match.h"

#include "fuzz.h"

#include <string.h>

enum { MOST = 16, LONGEST = 16 };

static char lowered(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int occurs(const azdlq_needle *needle, const char *text, size_t length)
{
    for (size_t start = 0; start + needle->length <= length; start++) {
        size_t same = 0;
        while (same < needle->length && lowered(text[start + same]) == needle->text[same]) {
            same++;
        }
        if (same == needle->length) {
            return 1;
        }
    }
    return 0;
}

static int32_t slow_match(const azdlq_needle *needles, int32_t count, const char *text,
                          size_t length)
{
    for (int32_t place = 0; place < count; place++) {
        if (occurs(&needles[place], text, length)) {
            return place;
        }
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    int32_t count = take_byte(&in) % (MOST + 1);
    azdlq_needle *needles = room((size_t)count, sizeof *needles);
    int32_t *next = room((size_t)count, sizeof *next);
    azdlq_needles index;

    for (int32_t place = 0; place < count; place++) {
        size_t length = 1u + take_byte(&in) % LONGEST;
        char *text = room(length, 1);
        for (size_t i = 0; i < length; i++) {
            text[i] = lowered((char)take_byte(&in));
        }
        needles[place] = (azdlq_needle){text, length};
    }
    azdlq_needles_init(&index, needles, next, count);
    char *text = room(in.size, 1);
    memcpy(text, in.data, in.size);
    REQUIRE(azdlq_match(&index, text, in.size) == slow_match(needles, count, text, in.size));
    for (int32_t place = 0; place < count; place++) {
        free((char *)needles[place].text);
    }
    free(text);
    free(next);
    free(needles);
    return 0;
}
