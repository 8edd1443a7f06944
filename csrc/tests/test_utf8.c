#include "utf8.h"

#include <string.h>

#include "check.h"

static bool valid(const char *text)
{
    return azdlq_utf8_valid(text, strlen(text));
}

static void well_formed_text_is_valid(void)
{
    CHECK(azdlq_utf8_valid("", 0));
    CHECK(azdlq_utf8_valid("\0", 1));
    CHECK(valid("deposit:100"));
    CHECK(valid("a long run of ASCII, then \xC3\xA9 and more than eight more"));
    CHECK(valid("\xC2\x80\xDF\xBF\xE0\xA0\x80\xEC\xBF\xBF\xED\x80\x80\xED\x9F\xBF\xEE\x80\x80"));
    CHECK(valid("\xEF\xBF\xBF\xF0\x90\x80\x80\xF1\x80\x80\x80\xF4\x8F\xBF\xBF"));
}

static void ill_formed_text_is_not(void)
{
    static const char *const WRONG[] = {
        "\x80",             "\xBF",             "\xC0\x80",         "\xC1\xBF",
        "\xC2",             "\xC2x",            "\xE0\x9F\xBF",     "\xE1\x80",
        "\xE1\x80x",        "\xED\xA0\x80",     "\xED\xBF\xBF",     "\xF0\x8F\xBF\xBF",
        "\xF0\x90\x80",     "\xF0\x90x\x80",    "\xF0\x90\x80x",    "\xF4\x90\x80\x80",
        "\xF5\x80\x80\x80", "\xFF",             "\xC2\xC2\x80",     "\xE1\xC0\x80",
    };
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        char text[64] = "12345678901234567";
        CHECK(!valid(WRONG[i]));
        strcat(text, WRONG[i]);
        CHECK(!valid(text));
        strcat(text, "more than eight bytes");
        CHECK(!valid(text));
    }
}

static void nothing_beyond_the_length_is_read(void)
{
    CHECK(azdlq_utf8_valid("abc\xFF", 3));
    CHECK(!azdlq_utf8_valid("\xE2\x82\xAC", 2));
}

int main(void)
{
    well_formed_text_is_valid();
    ill_formed_text_is_not();
    nothing_beyond_the_length_is_read();
    FINISH();
}
