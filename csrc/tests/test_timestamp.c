#include "timestamp.h"

#include <string.h>

#include "check.h"

#define NO_TIMESTAMP INT64_MIN

static int64_t parse(const char *text)
{
    int64_t instant = NO_TIMESTAMP;
    azdlq_result result = azdlq_timestamp_parse(text, strlen(text), &instant);
    CHECK((result == AZDLQ_OK) == (instant != NO_TIMESTAMP));
    CHECK(result == AZDLQ_OK || result == AZDLQ_NOT_A_TIMESTAMP);
    return instant;
}

static void every_form_of_the_same_instant_is_read(void)
{
    static const char *const FORMS[] = {
        "2026-11-24 03:46:00",           "2026-11-24T03:46:00Z",      "2026-11-24t03:46:00z",
        "2026-11-24T03:46:00.0",         "2026-11-24 03:46:00-00:00", "2026-11-25T03:45:00+23:59",
        "2026-11-23 03:47:00.000-23:59", "2026-11-24T03:46:00.0000009Z",
    };
    for (size_t i = 0; i < sizeof FORMS / sizeof FORMS[0]; i++) {
        CHECK(parse(FORMS[i]) == INT64_C(1795491960000000));
    }
}

static void fractions_are_cut_after_six_digits(void)
{
    CHECK(parse("1970-01-01 00:00:00.5") == 500000);
    CHECK(parse("1970-01-01 00:00:00.123456999999999999999999Z") == 123456);
    CHECK(parse("1969-12-31 23:59:59.999999") == -1);
    CHECK(parse("1970-01-01 00:00:00.") == NO_TIMESTAMP);
    CHECK(parse("1970-01-01 00:00:00.Z") == NO_TIMESTAMP);
    CHECK(parse("1970-01-01 00:00:00,5") == NO_TIMESTAMP);
}

static void the_calendar_is_gregorian(void)
{
    CHECK(parse("2000-02-29 00:00:00") != NO_TIMESTAMP);
    CHECK(parse("2024-02-29 00:00:00") != NO_TIMESTAMP);
    CHECK(parse("1900-02-29 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("2200-02-29 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("2026-02-29 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("2026-04-31 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("2026-00-01 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("2026-13-01 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("2026-01-00 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("0000-01-01 00:00:00") == NO_TIMESTAMP);
    CHECK(parse("0001-01-01 00:00:00") == INT64_C(-62135596800000000));
}

static void the_instant_may_lie_a_day_outside_the_years(void)
{
    CHECK(parse("0001-01-01 00:00:00+00:01") == INT64_C(-62135596860000000));
    CHECK(parse("9999-12-31 23:59:59-00:01") == INT64_C(253402300859000000));
    CHECK(parse("9999-12-31 23:59:60Z") == INT64_C(253402300800000000));
}

static void a_leap_second_ends_a_utc_day(void)
{
    CHECK(parse("2016-12-31 23:59:60") == INT64_C(1483228800000000));
    CHECK(parse("1998-12-31T15:59:60.123-08:00") == INT64_C(915148800123000));
    CHECK(parse("2016-12-31 23:58:60") == NO_TIMESTAMP);
    CHECK(parse("2016-12-31 23:59:60+01:00") == NO_TIMESTAMP);
    CHECK(parse("2016-12-31 23:59:61") == NO_TIMESTAMP);
}

static void a_clock_outside_the_day_is_refused(void)
{
    CHECK(parse("2026-11-24 24:00:00") == NO_TIMESTAMP);
    CHECK(parse("2026-11-24 00:60:00") == NO_TIMESTAMP);
}

static void each_character_is_looked_at(void)
{
    char text[] = "2026-11-24 03:46:00";
    for (size_t i = 0; i < sizeof text - 1; i++) {
        char held = text[i];
        text[i] = 'x';
        CHECK(parse(text) == NO_TIMESTAMP);
        text[i] = held;
    }
    for (size_t length = 0; length < sizeof text - 1; length++) {
        int64_t instant = 0;
        CHECK(azdlq_timestamp_parse(text, length, &instant) == AZDLQ_NOT_A_TIMESTAMP);
    }
    CHECK(parse(text) != NO_TIMESTAMP);
}

static void offsets_are_complete_and_in_range(void)
{
    static const char *const WRONG[] = {"+", "+1", "+01", "+0100", "+01:0", "+01:000", "+24:00",
                                        "+00:60", "+x1:00", "+01:x0", "ZZ", " +01:00", "*01:00"};
    for (size_t i = 0; i < sizeof WRONG / sizeof WRONG[0]; i++) {
        char text[40] = "2026-11-24 03:46:00";
        strcat(text, WRONG[i]);
        CHECK(parse(text) == NO_TIMESTAMP);
    }
}

static void format_and_parse_are_inverse(void)
{
    char text[AZDLQ_TIMESTAMP_LENGTH + 1] = {0};
    const int64_t day = INT64_C(86400000000);
    for (int64_t instant = INT64_C(-62135596800000000); instant <= INT64_C(253402300799999999);
         instant += 97 * day + INT64_C(12345678901)) {
        CHECK(azdlq_timestamp_format(instant, text) == AZDLQ_OK);
        CHECK(parse(text) == instant);
    }
    CHECK(azdlq_timestamp_format(INT64_C(253402300799999999), text) == AZDLQ_OK);
    CHECK(strcmp(text, "9999-12-31T23:59:59.999999Z") == 0);
    CHECK(azdlq_timestamp_format(INT64_C(-62135596800000000), text) == AZDLQ_OK);
    CHECK(strcmp(text, "0001-01-01T00:00:00.000000Z") == 0);
}

static void instants_outside_the_years_have_no_form(void)
{
    char text[AZDLQ_TIMESTAMP_LENGTH];
    CHECK(azdlq_timestamp_format(INT64_C(253402300800000000), text) == AZDLQ_OUT_OF_RANGE);
    CHECK(azdlq_timestamp_format(INT64_C(-62135596800000001), text) == AZDLQ_OUT_OF_RANGE);
    CHECK(azdlq_timestamp_format(INT64_MIN, text) == AZDLQ_OUT_OF_RANGE);
    CHECK(azdlq_timestamp_format(INT64_MAX, text) == AZDLQ_OUT_OF_RANGE);
}

int main(void)
{
    every_form_of_the_same_instant_is_read();
    fractions_are_cut_after_six_digits();
    the_calendar_is_gregorian();
    the_instant_may_lie_a_day_outside_the_years();
    a_leap_second_ends_a_utc_day();
    a_clock_outside_the_day_is_refused();
    each_character_is_looked_at();
    offsets_are_complete_and_in_range();
    format_and_parse_are_inverse();
    instants_outside_the_years_have_no_form();
    FINISH();
}
