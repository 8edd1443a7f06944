#include "template.h"

#include "hash.h"
#include "lines.h"
#include "masking.h"
#include "words.h"
#include "utf8.h"

/* A quoted part with so many spaces is a sentence, which is masked in its turn. */
enum { SPACES_OF_A_SENTENCE = 4 };

static const azdlq_word BEFORE_VALUES[] = {"contains", "key", ""};
static const azdlq_word SEVERITIES[] = {"error", "fatal", "panic", ""};

static bool is_letterlike(unsigned char c)
{
    return azdlq_is_word(c) || c >= 0x80;
}

/* The next quote that closes, from `start` on; the end of the text where there is none. */
static size_t next_closing(azdlq_masking *m, int kind, size_t start)
{
    size_t *known = &m->closing[kind];
    if (*known < start) {
        size_t end = start;
        while (end < m->text.length &&
               (m->text.bytes[end] != (unsigned char)AZDLQ_QUOTES[kind] ||
                m->text.bytes[end - 1] == '\\' || is_letterlike(azdlq_at(&m->text, end + 1)))) {
            end++;
        }
        *known = end;
    }
    return *known;
}

/* Also what tells an HTTP status: `502 Bad Gateway`. */
static bool is_sentence(const azdlq_masking *m, size_t start, size_t end)
{
    const unsigned char *bytes = m->text.bytes + start;
    if (end - start > 4 && azdlq_is_digit(bytes[0]) && azdlq_is_digit(bytes[1]) &&
        azdlq_is_digit(bytes[2]) && bytes[3] == ' ' && azdlq_is_letter(bytes[4])) {
        return true;
    }
    int spaces = 0;
    for (size_t i = start; i < end && spaces < SPACES_OF_A_SENTENCE; i++) {
        spaces += m->text.bytes[i] == ' ';
    }
    return spaces == SPACES_OF_A_SENTENCE;
}

static void mask_quoted(azdlq_masking *m, int kind)
{
    size_t place = m->place;
    unsigned char before = place > 0 ? m->text.bytes[place - 1] : 0;
    if (is_letterlike(before) || (place > 0 && m->literal[kind] == place)) {
        azdlq_copy(m, place + 1);
        return;
    }
    size_t end = next_closing(m, kind, place + 1);
    if (end == m->text.length) {
        azdlq_copy(m, place + 1);
    } else if (is_sentence(m, place + 1, end)) {
        m->literal[kind] = end;
        azdlq_copy(m, place + 1);
    } else {
        azdlq_put(m, "<quoted>", end + 1);
    }
}

/* The end of PostgreSQL's values, as in `Key (email)=(a@b.c)` and `row contains (7, null)`; 0 where
 * there are none. */
static size_t values_end(azdlq_masking *m)
{
    size_t place = m->place;
    bool opens = place > 0 && (m->text.bytes[place - 1] == '=' ||
                               (m->text.bytes[place - 1] == ' ' && m->word_end == place - 1 &&
                                azdlq_last_word_is(m, BEFORE_VALUES)));
    if (!opens || m->has_no_values) {
        return 0;
    }
    for (size_t end = place + 1; end < m->text.length; end++) {
        unsigned char next = azdlq_at(&m->text, end + 1);
        if (m->text.bytes[end] == ')' && (next == 0 || strchr(" .,;=\n", next) != NULL)) {
            return end + 1;
        }
    }
    m->has_no_values = true;
    return 0;
}

static void mask_sign(azdlq_masking *m)
{
    unsigned char c = m->text.bytes[m->place];
    unsigned char before = m->place > 0 ? m->text.bytes[m->place - 1] : 0;
    if (azdlq_is_any(c, AZDLQ_QUOTES)) {
        mask_quoted(m, (int)(strchr(AZDLQ_QUOTES, c) - AZDLQ_QUOTES));
    } else if (c == '(') {
        size_t end = values_end(m);
        if (end > 0) {
            azdlq_put(m, "<quoted>", end);
        } else {
            azdlq_copy(m, m->place + 1);
        }
    } else if ((c == '[' || c == ':') &&
               azdlq_put_found(m, "<address>", azdlq_ip(&m->text, m->place))) {
        return;
    } else if ((c == '/' || c == '~' || c == '.') && !is_letterlike(before) && before != '.' &&
               azdlq_put_found(m, "<path>", azdlq_path(&m->text, m->place))) {
        return;
    } else if ((c == '-' || c == '+') && !is_letterlike(before) && before != ')' &&
               azdlq_is_digit(azdlq_at(&m->text, m->place + 1))) {
        m->place++;
        azdlq_mask_token(m);
    } else {
        azdlq_copy(m, m->place + 1);
    }
}

static void mask_text(azdlq_masking *m)
{
    while (m->place < m->text.length) {
        unsigned char c = m->text.bytes[m->place];
        if (azdlq_is_word(c)) {
            azdlq_mask_token(m);
        } else if (azdlq_is_space(c)) {
            m->place++;
            if (m->length > 0 && m->out[m->length - 1] != ' ') {
                m->out[m->length++] = ' ';
            }
        } else {
            mask_sign(m);
        }
    }
    m->length -= m->length > 0 && m->out[m->length - 1] == ' ';
}

/* Where the text goes on behind `sqlite3.OperationalError: ` or `ERROR: `, if a sentence follows;
 * 0 where it does not. */
static size_t behind_type(const azdlq_text *text)
{
    size_t last = 0, end = 0;
    for (; azdlq_is_word(azdlq_at(text, end)) || azdlq_at(text, end) == '.'; end++) {
        last = text->bytes[end] == '.' ? end + 1 : last;
    }
    const unsigned char *bytes = text->bytes;
    bool is_type = (end - last >= 5 && memcmp(bytes + end - 5, "Error", 5) == 0) ||
                   (end - last >= 9 && memcmp(bytes + end - 9, "Exception", 9) == 0) ||
                   azdlq_is_among(SEVERITIES, bytes + last, end - last);
    if (!is_type || azdlq_at(text, end) != ':' || azdlq_at(text, end + 1) != ' ') {
        return 0;
    }
    while (azdlq_at(text, end + 1) == ' ') {
        end++;
    }
    const unsigned char *second = memchr(bytes + end + 1, ' ', text->length - end - 1);
    if (second == NULL) {
        return 0;
    }
    size_t left = text->length - (size_t)(second + 1 - bytes);
    return memchr(second + 1, ' ', left) != NULL ? end + 1 : 0;
}

size_t azdlq_counting_part(const char *text, size_t length)
{
    size_t end = length < AZDLQ_TEMPLATE_TEXT ? length : AZDLQ_TEMPLATE_TEXT;
    for (int back = 0; back < 3 && end < length && (text[end] & 0xC0) == 0x80; back++) {
        end--;
    }
    return end;
}

static size_t without_bad_bytes(const unsigned char *text, size_t length, unsigned char *out)
{
    size_t written = 0;
    for (size_t i = 0; i < length; i++) {
        bool goes_on = text[i] >= 0x80 && i > 0 && text[i - 1] >= 0x80;
        out[written] = text[i] < 0x80 ? text[i] : '?';
        written += !goes_on;
    }
    return written;
}

size_t azdlq_template(const char *text, size_t length, char *out)
{
    unsigned char telling[AZDLQ_TEMPLATE_TEXT], readable[AZDLQ_TEMPLATE_TEXT];
    azdlq_masking m = {0};
    m.text = (azdlq_text){(const unsigned char *)text, azdlq_counting_part(text, length)};
    m.out = out;
    if (memchr(text, '\n', m.text.length) != NULL) {
        m.text.length = azdlq_telling_lines(m.text.bytes, m.text.length, telling);
        m.text.bytes = telling;
    }
    if (!azdlq_utf8_valid((const char *)m.text.bytes, m.text.length)) {
        m.text.length = without_bad_bytes(m.text.bytes, m.text.length, readable);
        m.text.bytes = readable;
    }
    m.place = behind_type(&m.text);
    mask_text(&m);
    return m.length;
}

uint64_t azdlq_fingerprint(const char *template, size_t length)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)template[i]) * UINT64_C(0x100000001B3);
    }
    return azdlq_mix64(hash);
}
