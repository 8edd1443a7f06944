#include "timestamp.h"

#include "fuzz.h"

#include <string.h>

/* Days and seconds are counted from 0001-01-01T00:00:00; 719162 days later is 1970. */
enum { EPOCH_DAYS = 719162, DAY = 86400, LAST_YEAR = 9999, MOST_TEXT = 128 };

static int is_leap(int year)
{
    return year % 400 == 0 || (year % 4 == 0 && year % 100 != 0);
}

static int days_of(int year, int month)
{
    if (month == 2) {
        return is_leap(year) ? 29 : 28;
    }
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

/* Year by year, and month by month. */
static int64_t days_before(int year, int month)
{
    static int64_t before_year[LAST_YEAR + 2];
    for (int y = 1; before_year[LAST_YEAR + 1] == 0 && y <= LAST_YEAR; y++) {
        before_year[y + 1] = before_year[y] + (is_leap(y) ? 366 : 365);
    }
    int64_t days = before_year[year];
    for (int m = 1; m < month; m++) {
        days += days_of(year, m);
    }
    return days;
}

/* Whether the text begins as `pattern` (0: a digit, T: what parts date and clock) says. */
static int looks_like(const char *text, const char *pattern)
{
    for (; *pattern; pattern++, text++) {
        int is_digit = *text >= '0' && *text <= '9';
        int is_right = *pattern == '0' ? is_digit
                     : *pattern == 'T' ? *text == 'T' || *text == 't' || *text == ' '
                                       : *text == *pattern;
        if (!is_right) {
            return 0;
        }
    }
    return 1;
}

static int number(const char *text, int digits)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        value = value * 10 + (text[i] - '0');
    }
    return value;
}

/* Whether it is an offset, and by how many seconds the clock is ahead of UTC then. */
static int slow_offset(const char *zone, int *seconds)
{
    *seconds = 0;
    if (strcmp(zone, "") == 0 || strcmp(zone, "Z") == 0 || strcmp(zone, "z") == 0) {
        return 1;
    }
    if (strlen(zone) != 6 || !(looks_like(zone, "+00:00") || looks_like(zone, "-00:00"))) {
        return 0;
    }
    *seconds = (number(zone + 1, 2) * 60 + number(zone + 4, 2)) * 60;
    *seconds = zone[0] == '-' ? -*seconds : *seconds;
    return number(zone + 1, 2) < 24 && number(zone + 4, 2) < 60;
}

/* `text` ends with NUL, and holds no other. */
static int slow_parse(const char *text, int64_t *instant)
{
    int micros = 0, offset;
    if (!looks_like(text, "0000-00-00T00:00:00")) {
        return 0;
    }
    int year = number(text, 4), month = number(text + 5, 2), day = number(text + 8, 2);
    int hour = number(text + 11, 2), minute = number(text + 14, 2), second = number(text + 17, 2);
    if (year == 0 || month == 0 || month > 12 || day == 0 || day > days_of(year, month)) {
        return 0;
    }
    const char *rest = text + 19;
    if (*rest == '.') {
        size_t digits = strspn(rest + 1, "0123456789");
        char six[] = "000000";
        memcpy(six, rest + 1, digits < 6 ? digits : 6);
        micros = number(six, 6);
        rest += 1 + digits;
        if (digits == 0) {
            return 0;
        }
    }
    if (hour > 23 || minute > 59 || second > 60 || !slow_offset(rest, &offset)) {
        return 0;
    }
    int64_t in_day = hour * 3600 + minute * 60 + second;
    int64_t seconds = (days_before(year, month) + day - 1 - EPOCH_DAYS) * DAY + in_day - offset;
    *instant = seconds * 1000000 + micros;
    return second < 60 || seconds % DAY == 0;
}

static void slow_format(int64_t instant, char *text, size_t size)
{
    int64_t micros = instant + (int64_t)EPOCH_DAYS * DAY * 1000000;
    int64_t days = micros / 1000000 / DAY;
    int second = (int)(micros / 1000000 % DAY);
    int year = (int)(days / 366) + 1;
    while (year < LAST_YEAR && days_before(year + 1, 1) <= days) {
        year++;
    }
    int month = 1;
    while (month < 12 && days_before(year, month + 1) <= days) {
        month++;
    }
    int day = (int)(days - days_before(year, month)) + 1;
    snprintf(text, size, "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", year, month, day, second / 3600,
             second / 60 % 60, second % 60, (int)(micros % 1000000));
}

static const int64_t FIRST = -INT64_C(62135596800000000); /* 0001-01-01T00:00:00 */
static const int64_t BEYOND = INT64_C(253402300800000000); /* 10000-01-01T00:00:00 */

static void written_and_read(int64_t instant)
{
    char *text = room(AZDLQ_TIMESTAMP_LENGTH, 1);
    char expected[MOST_TEXT];
    int64_t again;
    int is_in_years = instant >= FIRST && instant < BEYOND;

    azdlq_result result = azdlq_timestamp_format(instant, text);
    REQUIRE(result == (is_in_years ? AZDLQ_OK : AZDLQ_OUT_OF_RANGE));
    if (is_in_years) {
        slow_format(instant, expected, sizeof expected);
        REQUIRE(memcmp(text, expected, AZDLQ_TIMESTAMP_LENGTH) == 0);
        REQUIRE(azdlq_timestamp_parse(text, AZDLQ_TIMESTAMP_LENGTH, &again) == AZDLQ_OK);
        REQUIRE(again == instant);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    int64_t instant = -7, expected = -7;
    char text[MOST_TEXT] = {0};

    if (size >= MOST_TEXT) {
        return 0;
    }
    memcpy(text, data, size);
    int is_text = strlen(text) == size && slow_parse(text, &expected);
    azdlq_result result = azdlq_timestamp_parse((const char *)data, size, &instant);
    REQUIRE(result == (is_text ? AZDLQ_OK : AZDLQ_NOT_A_TIMESTAMP));
    REQUIRE(instant == (is_text ? expected : -7));
    written_and_read(is_text ? instant : take_number(&in));
    written_and_read(take_bytes(&in, 8) % BEYOND);
    int64_t edge = take_byte(&in) % 2 ? FIRST : BEYOND;
    written_and_read(edge + take_byte(&in) - 128);
    return 0;
}
