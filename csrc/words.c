#include "words.h"

/* From what length on a word with digits is hexadecimal or an id, and how far a code stands behind
 * its word at most. */
enum { LEAST_HEX = 8, LEAST_ID = 16, LONGEST_CODE = 5, LONGEST_GAP = 3 };

/* A number behind one of them tells what went wrong. */
static const azdlq_word CODES[] = {
    "code", "errno", "error", "exit", "http", "signal", "sqlstate", "status", "status_code",
    "statuscode", "winerror", ""
};
/* ORA-00060 */
static const azdlq_word NUMBERED[] = {"dpi", "dpy", "ora", "pls", "tns", ""};
static const azdlq_word BEFORE_ADDRESSES[] = {
    "at", "broker", "connecting", "from", "host", "server", "tcp", "to", ""
};
static const azdlq_word HTTP[] = {"http", ""};
static const azdlq_word METHODS[] = {"delete", "get", "head", "patch", "post", "put", ""};

bool azdlq_last_word_is(const azdlq_masking *m, const azdlq_word *words)
{
    return azdlq_is_among(words, m->text.bytes + m->word, m->word_end - m->word);
}

/* Whether a code word stands before, with signs alone between: `status = `, `[Errno `. */
static bool follows_code(const azdlq_masking *m)
{
    if (m->word_end == 0 || m->place - m->word_end > LONGEST_GAP) {
        return false;
    }
    for (size_t i = m->word_end; i < m->place; i++) {
        if (!azdlq_is_any(m->text.bytes[i], " =:#([")) {
            return m->text.bytes[i] == '-' && azdlq_last_word_is(m, NUMBERED);
        }
    }
    return m->place > m->word_end && azdlq_last_word_is(m, CODES);
}

static size_t word_end(const azdlq_masking *m)
{
    size_t end = m->place;
    while (azdlq_is_word(azdlq_at(&m->text, end))) {
        end++;
    }
    return end;
}

static void note_word(azdlq_masking *m, size_t end)
{
    m->word = m->place;
    m->word_end = end;
}

/* What letters and digits without `_` between are. */
typedef struct segment {
    size_t end, digits, switches; /* `switches`: between letters and digits */
    bool is_hex;
} segment;

static segment read_segment(const azdlq_masking *m, size_t end)
{
    segment found = {m->place, 0, 0, true};
    bool was_digit = azdlq_is_digit(azdlq_at(&m->text, m->place));
    for (; found.end < end && m->text.bytes[found.end] != '_'; found.end++) {
        unsigned char c = m->text.bytes[found.end];
        bool is_digit = azdlq_is_digit(c);
        found.digits += is_digit;
        found.switches += is_digit != was_digit;
        found.is_hex = found.is_hex && azdlq_is_hex(c);
        was_digit = is_digit;
    }
    return found;
}

/* A word with digits, up to `end`. */
static void mask_word(azdlq_masking *m, size_t end)
{
    while (m->place < end) {
        segment found = read_segment(m, end);
        size_t length = found.end - m->place;
        if (found.digits == 0) {
            azdlq_copy(m, found.end);
        } else if (found.is_hex && length >= LEAST_HEX && found.switches > 0) {
            azdlq_put(m, "<hex>", found.end);
        } else if (found.switches >= 3 || (length >= LEAST_ID && found.switches > 0)) {
            azdlq_put(m, "<id>", found.end);
        }
        while (m->place < found.end) {
            size_t stop = m->place;
            bool is_digit = azdlq_is_digit(m->text.bytes[stop]);
            while (stop < found.end && azdlq_is_digit(m->text.bytes[stop]) == is_digit) {
                stop++;
            }
            if (is_digit) {
                azdlq_put(m, "<num>", stop);
            } else {
                azdlq_copy(m, stop);
            }
        }
        azdlq_copy(m, found.end < end ? found.end + 1 : end);
    }
}

/* A name that ends with one digit, before a member of it: psycopg2.errors. */
static bool is_module(const azdlq_masking *m, size_t end)
{
    segment found = read_segment(m, end);
    return found.end == end && found.digits == 1 && found.switches == 1 &&
           azdlq_is_digit(m->text.bytes[end - 1]) && azdlq_at(&m->text, end) == '.' &&
           azdlq_is_letter(azdlq_at(&m->text, end + 1));
}

static bool has_digit(const azdlq_masking *m, size_t end)
{
    for (size_t i = m->place; i < end; i++) {
        if (azdlq_is_digit(m->text.bytes[i])) {
            return true;
        }
    }
    return false;
}

/* HTTP/1.1 is a word like HTTP. */
static size_t with_version(const azdlq_masking *m, size_t end)
{
    azdlq_text text = m->text;
    if (azdlq_at(&text, end) != '/' || !azdlq_is_digit(azdlq_at(&text, end + 1)) ||
        !azdlq_is_among(HTTP, text.bytes + m->place, end - m->place)) {
        return end;
    }
    bool has_minor = azdlq_at(&text, end + 2) == '.' && azdlq_is_digit(azdlq_at(&text, end + 3));
    return end + (has_minor ? 4 : 2);
}

/* Whether a method of HTTP stands before what it is for: `GET /orders`, `Post "https://…`. */
static bool is_method(const azdlq_masking *m, size_t end)
{
    static const char *const WHAT[] = {"/", "\"/", "\"http", "http", "request"};
    size_t start = end + 1;
    unsigned char first = azdlq_at(&m->text, start);
    if (azdlq_at(&m->text, end) != ' ' || !azdlq_is_any(first, "/\"hr") ||
        !azdlq_is_among(METHODS, m->text.bytes + m->place, end - m->place)) {
        return false;
    }
    for (size_t i = 0; i < sizeof WHAT / sizeof *WHAT; i++) {
        size_t length = strlen(WHAT[i]);
        if (m->text.length - start >= length &&
            memcmp(m->text.bytes + start, WHAT[i], length) == 0) {
            return true;
        }
    }
    return false;
}

/* A word of letters alone. A plural behind a number becomes a singular: there may be one. */
static void mask_plain(azdlq_masking *m, size_t end)
{
    static const size_t LEAST_PLURAL = 4;
    const unsigned char *bytes = m->text.bytes;
    if (is_method(m, end)) {
        azdlq_put(m, "<method>", end);
        m->mask_end = 0; /* what follows is no list */
        return;
    }
    note_word(m, end);
    bool is_plural = end - m->place >= LEAST_PLURAL && bytes[end - 1] == 's' &&
                     bytes[end - 2] != 's' && m->length >= 6 &&
                     memcmp(m->out + m->length - 6, "<num> ", 6) == 0;
    azdlq_copy(m, is_plural ? end - 1 : end);
    m->place = end;
}

/* Whether a word of letters is part of nothing longer. */
static bool stands_alone(const azdlq_text *text, size_t end)
{
    unsigned char next = azdlq_at(text, end), after = azdlq_at(text, end + 1);
    return !azdlq_is_any(next, ":.-@+%/\\") ||
           (next != '@' && !azdlq_is_word(after) && !azdlq_is_any(after, "/\\:"));
}

/* Something with a form of its own, by what stands behind its first word. */
static bool mask_shape(azdlq_masking *m, unsigned char next)
{
    const azdlq_text *text = &m->text;
    size_t place = m->place;
    bool is_digit = azdlq_is_digit(text->bytes[place]);
    bool expected = next == ':' && azdlq_last_word_is(m, BEFORE_ADDRESSES);
    return (azdlq_is_any(next, ":+") && azdlq_put_found(m, "<url>", azdlq_url(text, place))) ||
           (azdlq_is_any(next, ".-@+%") &&
            azdlq_put_found(m, "<email>", azdlq_email(text, place))) ||
           (is_digit && azdlq_put_found(m, "<time>", azdlq_time(text, place))) ||
           (next == '-' && azdlq_put_found(m, "<uuid>", azdlq_uuid(text, place))) ||
           (is_digit && azdlq_put_found(m, "<hex>", azdlq_pointer(text, place))) ||
           (azdlq_is_any(next, ".:") && azdlq_put_found(m, "<address>", azdlq_ip(text, place))) ||
           (azdlq_is_any(next, ".-:") &&
            azdlq_put_found(m, "<address>", azdlq_host(text, place, expected))) ||
           (azdlq_is_any(next, "./:-") && azdlq_put_found(m, "<path>", azdlq_path(text, place))) ||
           (next == '.' && azdlq_put_found(m, "<name>", azdlq_name(text, place))) ||
           (next == '-' && azdlq_put_found(m, "<id>", azdlq_id(text, place))) ||
           (is_digit && azdlq_put_found(m, "<num>", azdlq_number(text, place)));
}

void azdlq_mask_token(azdlq_masking *m)
{
    size_t place = m->place, end = word_end(m);
    bool digits = has_digit(m, end);
    unsigned char next = azdlq_at(&m->text, end);
    bool is_numbered =
        next == '-' && azdlq_is_among(NUMBERED, m->text.bytes + place, end - place);
    if (!digits && (is_numbered || stands_alone(&m->text, end))) {
        mask_plain(m, end);
    } else if (digits && end - place <= LONGEST_CODE && next != '.' && follows_code(m)) {
        azdlq_copy(m, end);
    } else if (!mask_shape(m, next)) {
        note_word(m, end);
        if (digits && !is_module(m, end)) {
            mask_word(m, end);
        } else {
            azdlq_copy(m, with_version(m, end));
        }
    }
}
