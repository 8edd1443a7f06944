#include "utf8.h"

#include "fuzz.h"

/* Decodes the character at `p`; how many bytes it has, 0 where they are none. */
static size_t decoded(const uint8_t *p, size_t left, uint32_t *character)
{
    static const uint32_t LOWEST[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = p[0] >> 7 == 0    ? 1
                  : p[0] >> 5 == 0x06 ? 2
                  : p[0] >> 4 == 0x0E ? 3
                  : p[0] >> 3 == 0x1E ? 4
                                      : 0;
    if (length == 0 || length > left) {
        return 0;
    }
    *character = length == 1 ? p[0] : p[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (p[i] >> 6 != 2) {
            return 0;
        }
        *character = *character << 6 | (p[i] & 0x3Fu);
    }
    return *character < LOWEST[length] ? 0 : length;
}

static bool slow_valid(const uint8_t *text, size_t length)
{
    for (size_t i = 0; i < length;) {
        uint32_t character = 0;
        size_t step = decoded(text + i, length - i, &character);
        bool is_surrogate = character >= 0xD800 && character <= 0xDFFF;
        if (step == 0 || is_surrogate || character > 0x10FFFF) {
            return false;
        }
        i += step;
    }
    return true;
}

/* The bytes as they are, and behind as many letters as the first of them says: where the groups of
 * eight begin that are looked at together. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    REQUIRE(azdlq_utf8_valid((const char *)data, size) == slow_valid(data, size));
    size_t before = size ? data[0] % 16u : 0;
    uint8_t *text = room(before + size, 1);
    for (size_t i = 0; i < before + size; i++) {
        text[i] = i < before ? 'a' : data[i - before];
    }
    REQUIRE(azdlq_utf8_valid((char *)text, before + size) == slow_valid(data, size));
    free(text);
    return 0;
}
