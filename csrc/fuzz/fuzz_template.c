#include "template.h"
#include "utf8.h"

#include "fuzz.h"

#include <string.h>

/* What a slow computation in Python answers is compared in tests/kernels/test_templates.py. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    size_t repeats = 1u + take_byte(&in); /* texts longer than what counts */
    size_t length = in.size * repeats;
    char *text = room(length, 1);
    char *out = room(AZDLQ_TEMPLATE_ROOM, 1);
    char *again = room(AZDLQ_TEMPLATE_ROOM, 1);

    for (size_t i = 0; i < repeats && in.size > 0; i++) {
        memcpy(text + i * in.size, in.data, in.size);
    }
    size_t made = azdlq_template(text, length, out);
    REQUIRE(made <= AZDLQ_TEMPLATE_ROOM && made <= 4 * length);
    REQUIRE(azdlq_utf8_valid(out, made));
    REQUIRE(made == 0 || (out[0] != ' ' && out[made - 1] != ' '));
    REQUIRE(memchr(out, '\n', made) == NULL);
    if (length > AZDLQ_TEMPLATE_TEXT + 1) {
        REQUIRE(azdlq_template(text, AZDLQ_TEMPLATE_TEXT + 1, again) == made);
        REQUIRE(memcmp(out, again, made) == 0);
        REQUIRE(azdlq_fingerprint(out, made) == azdlq_fingerprint(again, made));
    }
    free(again);
    free(out);
    free(text);
    return 0;
}
