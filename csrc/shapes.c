#include "shapes.h"

#include <string.h>

static const azdlq_word UNITS[] = {
    "b", "kb", "mb", "gb", "tb", "kib", "mib", "gib", "d", "h", "m", "min", "ms", "ns", "s",
    "us", "k", ""
};
static const azdlq_word UNIT_WORDS[] = {
    "b", "kb", "mb", "gb", "kib", "mib", "gib", "byte", "bytes", "day", "days", "hour", "hours",
    "min", "mins", "minute", "minutes", "millisecond", "milliseconds", "ms", "s", "sec",
    "second", "seconds", "secs", "us", ""
};

bool azdlq_is_among(const azdlq_word *words, const unsigned char *bytes, size_t length)
{
    azdlq_word folded = {0};
    if (length == 0 || length > sizeof folded) {
        return false;
    }
    for (size_t i = 0; i < length; i++) {
        folded[i] = (char)(azdlq_is_letter(bytes[i]) ? bytes[i] | 0x20u : bytes[i]);
    }
    while (words[0][0] != 0 &&
           (words[0][0] != folded[0] || memcmp(words[0], folded, sizeof folded) != 0)) {
        words++;
    }
    return words[0][0] != 0;
}

size_t azdlq_digits(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (azdlq_is_digit(azdlq_at(text, end))) {
        end++;
    }
    return end - place;
}

static size_t letters(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (azdlq_is_letter(azdlq_at(text, end))) {
        end++;
    }
    return end - place;
}

static size_t hex_digits(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (azdlq_is_hex(azdlq_at(text, end))) {
        end++;
    }
    return end - place;
}

static size_t unless_within_word(const azdlq_text *text, size_t place, size_t end)
{
    return azdlq_is_word(azdlq_at(text, end)) ? 0 : end - place;
}

/* 03:46:00, with fraction and offset. */
static size_t time_of_day(const azdlq_text *text, size_t place)
{
    if (azdlq_digits(text, place) != 2 || azdlq_at(text, place + 2) != ':' ||
        azdlq_digits(text, place + 3) != 2 || azdlq_at(text, place + 5) != ':' ||
        azdlq_digits(text, place + 6) != 2) {
        return 0;
    }
    size_t end = place + 8;
    unsigned char c = azdlq_at(text, end);
    if ((c == '.' || c == ',') && azdlq_is_digit(azdlq_at(text, end + 1))) {
        end += 1 + azdlq_digits(text, end + 1);
    }
    c = azdlq_at(text, end);
    if (c == 'Z') {
        end++;
    } else if ((c == '+' || c == '-') && azdlq_digits(text, end + 1) == 4) {
        end += 5;
    } else if ((c == '+' || c == '-') && azdlq_digits(text, end + 1) == 2) {
        end += 3;
        end += azdlq_at(text, end) == ':' && azdlq_digits(text, end + 1) == 2 ? 3 : 0;
    }
    return unless_within_word(text, place, end);
}

size_t azdlq_time(const azdlq_text *text, size_t place)
{
    if (azdlq_digits(text, place) != 4) {
        return time_of_day(text, place);
    }
    unsigned char separator = azdlq_at(text, place + 4);
    if ((separator != '-' && separator != '/') || azdlq_digits(text, place + 5) != 2 ||
        azdlq_at(text, place + 7) != separator || azdlq_digits(text, place + 8) != 2) {
        return 0;
    }
    size_t end = place + 10;
    if (azdlq_at(text, end) == 'T' || azdlq_at(text, end) == ' ') {
        size_t time = time_of_day(text, end + 1);
        end += time > 0 ? time + 1 : 0;
    }
    return unless_within_word(text, place, end);
}

size_t azdlq_uuid(const azdlq_text *text, size_t place)
{
    static const unsigned char LENGTHS[] = {8, 4, 4, 4, 12};
    size_t end = place;
    for (size_t part = 0; part < sizeof LENGTHS; part++) {
        if (part > 0 && azdlq_at(text, end++) != '-') {
            return 0;
        }
        if (hex_digits(text, end) != LENGTHS[part]) {
            return 0;
        }
        end += LENGTHS[part];
    }
    return unless_within_word(text, place, end);
}

size_t azdlq_pointer(const azdlq_text *text, size_t place)
{
    if (azdlq_at(text, place) != '0' || (azdlq_at(text, place + 1) | 0x20) != 'x') {
        return 0;
    }
    size_t found = hex_digits(text, place + 2);
    return found == 0 ? 0 : unless_within_word(text, place, place + 2 + found);
}

size_t azdlq_with_port(const azdlq_text *text, size_t end)
{
    unsigned char c = azdlq_at(text, end);
    size_t found = c == ':' || c == '/' ? azdlq_digits(text, end + 1) : 0;
    return found > 0 && found <= 5 && !azdlq_is_word(azdlq_at(text, end + 1 + found))
               ? end + 1 + found
               : end;
}

static size_t ip4(const azdlq_text *text, size_t place)
{
    size_t end = place;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && azdlq_at(text, end++) != '.') {
            return 0;
        }
        size_t found = azdlq_digits(text, end);
        if (found == 0 || found > 3) {
            return 0;
        }
        end += found;
    }
    return unless_within_word(text, place, azdlq_with_port(text, end));
}

/* At least two colons, between at most eight groups of at most four digits. */
static size_t ip6(const azdlq_text *text, size_t place)
{
    size_t end = place;
    int colons = 0;
    for (;;) {
        size_t found = hex_digits(text, end);
        if (found > 4) {
            return 0;
        }
        end += found;
        if (azdlq_at(text, end) != ':' || colons == 7) {
            break;
        }
        colons++;
        end++;
    }
    bool is_whole = colons == 7 || (colons >= 2 && end - place > 2);
    return is_whole && azdlq_at(text, end) != ':' ? unless_within_word(text, place, end) : 0;
}

size_t azdlq_ip(const azdlq_text *text, size_t place)
{
    if (azdlq_at(text, place) == '[') {
        size_t found = ip6(text, place + 1);
        if (found == 0 || azdlq_at(text, place + 1 + found) != ']') {
            return 0;
        }
        return azdlq_with_port(text, place + found + 2) - place;
    }
    size_t found = ip4(text, place);
    return found > 0 ? found : ip6(text, place);
}

/* The end of letters that are a unit; `µs` as well. */
static size_t unit_end(const azdlq_text *text, size_t place)
{
    size_t start = place;
    unsigned char c = azdlq_at(text, place), next = azdlq_at(text, place + 1);
    if ((c == 0xC2 && next == 0xB5) || (c == 0xCE && next == 0xBC)) {
        start += 2;
    }
    size_t found = letters(text, start);
    return azdlq_is_among(UNITS, text->bytes + start, found) ? start + found : place;
}

size_t azdlq_unit_word_end(const azdlq_text *text, size_t place)
{
    if (azdlq_at(text, place) != ' ') {
        return place;
    }
    size_t found = letters(text, place + 1), end = place + 1 + found;
    bool is_unit = azdlq_is_among(UNIT_WORDS, text->bytes + place + 1, found);
    return is_unit && !azdlq_is_word(azdlq_at(text, end)) ? end : place;
}

size_t azdlq_number(const azdlq_text *text, size_t place)
{
    size_t end = place, whole = place; /* `whole`: what is one, whatever comes behind it */
    while (azdlq_is_digit(azdlq_at(text, end))) {
        end += azdlq_digits(text, end);
        while ((azdlq_at(text, end) == '.' || azdlq_at(text, end) == ',') &&
               azdlq_is_digit(azdlq_at(text, end + 1))) {
            whole = end;
            end += 1 + azdlq_digits(text, end + 1);
        }
        end = azdlq_at(text, end) == '%' ? end + 1 : unit_end(text, end);
    }
    if (end == place || azdlq_is_word(azdlq_at(text, end))) {
        return whole - place;
    }
    return azdlq_unit_word_end(text, end) - place;
}
