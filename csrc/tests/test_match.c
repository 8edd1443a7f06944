#include "match.h"

#include <string.h>

#include "check.h"

enum { MOST = 8 };

static azdlq_needle needles[MOST];
static int32_t next_needle[MOST];
static azdlq_needles needle_index;

static void look_for(const char *const *texts, int32_t count)
{
    for (int32_t i = 0; i < count; i++) {
        needles[i].text = texts[i];
        needles[i].length = strlen(texts[i]);
    }
    azdlq_needles_init(&needle_index, needles, next_needle, count);
}

static int32_t match(const char *text)
{
    return azdlq_match(&needle_index, text, strlen(text));
}

static void the_first_listed_wins_wherever_it_stands(void)
{
    static const char *const TEXTS[] = {"timeout", "time", "deadlock", "t"};
    look_for(TEXTS, 4);
    CHECK(match("a deadlock, then a timeout") == 0);
    CHECK(match("timed deadlock") == 1);
    CHECK(match("deadlock") == 2);
    CHECK(match("but") == 3);
    CHECK(match("none") == 4);
    CHECK(match("") == 4);
}

static void ascii_letters_match_in_either_case(void)
{
    static const char *const TEXTS[] = {"http 503", "z_a"};
    look_for(TEXTS, 2);
    CHECK(match("got HTTP 503") == 0);
    CHECK(match("got hTtP 503!") == 0);
    CHECK(match("Z_A") == 1);
    CHECK(match("zxa") == 2);
    CHECK(match("z?a") == 2);
}

static void neighbours_of_the_letters_are_not_folded(void)
{
    static const char *const TEXTS[] = {"@", "[", "`", "{"};
    look_for(TEXTS, 4);
    CHECK(match("`") == 2);
    CHECK(match("@") == 0);
    CHECK(match("{") == 3);
    CHECK(match("[") == 1);
}

static void other_bytes_match_as_they_are(void)
{
    static const char *const TEXTS[] = {"\xC3\xA9"};
    look_for(TEXTS, 1);
    CHECK(match("caf\xC3\xA9") == 0);
    CHECK(match("CAF\xC3\x89") == 1);
}

static void a_needle_longer_than_the_rest_is_not_found(void)
{
    static const char *const TEXTS[] = {"abcd"};
    look_for(TEXTS, 1);
    CHECK(match("abc") == 1);
    CHECK(match("ababcd") == 0);
    CHECK(azdlq_match(&needle_index, "abcd", 3) == 1);
    CHECK(azdlq_match(&needle_index, "\0abcd", 5) == 0);
}

int main(void)
{
    the_first_listed_wins_wherever_it_stands();
    ascii_letters_match_in_either_case();
    neighbours_of_the_letters_are_not_folded();
    other_bytes_match_as_they_are();
    a_needle_longer_than_the_rest_is_not_found();
    FINISH();
}
