#include "timestamp.h"

#include <stdbool.h>

#define SECOND_US INT64_C(1000000)
#define DAY_S INT64_C(86400)
#define DAY_US (DAY_S * SECOND_US)
#define FIRST_US INT64_C(-62135596800000000) /* 0001-01-01T00:00:00 */
#define LAST_US INT64_C(253402300799999999)  /* 9999-12-31T23:59:59.999999 */

typedef unsigned char byte;

/* -1 where one of the two is no digit. */
static int two_digits(const byte *p)
{
    unsigned tens = (unsigned)p[0] - '0';
    unsigned ones = (unsigned)p[1] - '0';
    return tens > 9 || ones > 9 ? -1 : (int)(tens * 10 + ones);
}

static int days_in_month(int year, int month)
{
    static const byte DAYS[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return DAYS[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01 in the proleptic Gregorian calendar, for years from 1 on.
 * Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", days_from_civil. */
static int64_t days_from_civil(int year, int month, int day)
{
    int y = month <= 2 ? year - 1 : year;
    int era = y / 400;
    int year_of_era = y - era * 400;
    int day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (int64_t)era * 146097 + day_of_era - 719468;
}

/* Source: as above, civil_from_days; for days from 0001-01-01 on. */
static void civil_from_days(int64_t days, int *year, int *month, int *day)
{
    int shifted = (int)(days + 719468);
    int era = shifted / 146097;
    int day_of_era = shifted - era * 146097;
    int year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int month_from_march = (5 * day_of_year + 2) / 153;
    *day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    *month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

static bool parse_date(const byte *p, int64_t *days)
{
    int century = two_digits(p);
    int year_of_century = two_digits(p + 2);
    int month = two_digits(p + 5);
    int day = two_digits(p + 8);
    if ((century | year_of_century | month | day) < 0 || p[4] != '-' || p[7] != '-') {
        return false;
    }
    int year = century * 100 + year_of_century;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in_month(year, month)) {
        return false;
    }
    *days = days_from_civil(year, month, day);
    return true;
}

static bool parse_clock(const byte *p, int *seconds, bool *leap)
{
    int hour = two_digits(p);
    int minute = two_digits(p + 3);
    int second = two_digits(p + 6);
    if ((hour | minute | second) < 0 || p[2] != ':' || p[5] != ':') {
        return false;
    }
    if (hour > 23 || minute > 59 || second > 60) {
        return false;
    }
    *seconds = hour * 3600 + minute * 60 + second;
    *leap = second == 60;
    return true;
}

/* The first byte after the fraction; NULL where there is no digit. */
static const byte *parse_fraction(const byte *p, const byte *end, int *micros)
{
    const byte *start = p;
    int value = 0;
    int scale = 100000;
    for (; p < end && *p >= '0' && *p <= '9'; p++) {
        value += (*p - '0') * scale;
        scale /= 10;
    }
    *micros = value;
    return p == start ? NULL : p;
}

static bool parse_offset(const byte *p, const byte *end, int *seconds)
{
    *seconds = 0;
    if (p == end) {
        return true;
    }
    if (*p == 'Z' || *p == 'z') {
        return end - p == 1;
    }
    if (end - p != 6 || (*p != '+' && *p != '-') || p[3] != ':') {
        return false;
    }
    int hours = two_digits(p + 1);
    int minutes = two_digits(p + 4);
    if ((hours | minutes) < 0 || hours > 23 || minutes > 59) {
        return false;
    }
    *seconds = (hours * 3600 + minutes * 60) * (*p == '-' ? -1 : 1);
    return true;
}

azdlq_result azdlq_timestamp_parse(const char *text, size_t length, int64_t *instant_us)
{
    const byte *p = (const byte *)text;
    int64_t days;
    int seconds, offset, micros = 0;
    bool leap;

    if (length < 19 || (p[10] != 'T' && p[10] != 't' && p[10] != ' ')) {
        return AZDLQ_NOT_A_TIMESTAMP;
    }
    if (!parse_date(p, &days) || !parse_clock(p + 11, &seconds, &leap)) {
        return AZDLQ_NOT_A_TIMESTAMP;
    }
    const byte *end = p + length;
    const byte *rest = p + 19;
    if (rest < end && *rest == '.') {
        rest = parse_fraction(rest + 1, end, &micros);
    }
    if (rest == NULL || !parse_offset(rest, end, &offset)) {
        return AZDLQ_NOT_A_TIMESTAMP;
    }
    int64_t total = days * DAY_S + seconds - offset;
    if (leap && total % DAY_S != 0) {
        return AZDLQ_NOT_A_TIMESTAMP;
    }
    *instant_us = total * SECOND_US + micros;
    return AZDLQ_OK;
}

static void put_digits(char *text, int width, int value)
{
    for (int i = width - 1; i >= 0; i--) {
        text[i] = (char)('0' + value % 10);
        value /= 10;
    }
}

azdlq_result azdlq_timestamp_format(int64_t instant_us, char *text)
{
    static const char PATTERN[] = "0000-00-00T00:00:00.000000Z";
    int year, month, day;

    if (instant_us < FIRST_US || instant_us > LAST_US) {
        return AZDLQ_OUT_OF_RANGE;
    }
    int64_t since_first = instant_us - FIRST_US;
    int64_t in_day = since_first % DAY_US;
    int seconds = (int)(in_day / SECOND_US);
    civil_from_days((since_first - in_day + FIRST_US) / DAY_US, &year, &month, &day);
    for (int i = 0; i < AZDLQ_TIMESTAMP_LENGTH; i++) {
        text[i] = PATTERN[i];
    }
    put_digits(text, 4, year);
    put_digits(text + 5, 2, month);
    put_digits(text + 8, 2, day);
    put_digits(text + 11, 2, seconds / 3600);
    put_digits(text + 14, 2, seconds / 60 % 60);
    put_digits(text + 17, 2, seconds % 60);
    put_digits(text + 20, 6, (int)(in_day % SECOND_US));
    return AZDLQ_OK;
}
