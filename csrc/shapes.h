#ifndef AZDLQ_SHAPES_H
#define AZDLQ_SHAPES_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Bytes of ASCII, UTF-8 or neither. */
typedef struct azdlq_text {
    const unsigned char *bytes;
    size_t length;
} azdlq_text;

/* The byte at `place`; 0 behind the end. */
static inline unsigned char azdlq_at(const azdlq_text *text, size_t place)
{
    return place < text->length ? text->bytes[place] : 0;
}

static inline bool azdlq_is_digit(unsigned char c)
{
    return (unsigned)c - '0' < 10u;
}

static inline bool azdlq_is_letter(unsigned char c)
{
    return ((unsigned)c | 0x20u) - 'a' < 26u;
}

/* A letter, a digit or `_`. */
static inline bool azdlq_is_word(unsigned char c)
{
    return azdlq_is_letter(c) || azdlq_is_digit(c) || c == '_';
}

static inline bool azdlq_is_hex(unsigned char c)
{
    return azdlq_is_digit(c) || ((unsigned)c | 0x20u) - 'a' < 6u;
}

static inline bool azdlq_is_space(unsigned char c)
{
    return c == ' ' || (unsigned)c - '\t' < 5u;
}

/* Whether the byte is one of these, of which NUL is none. */
static inline bool azdlq_is_any(unsigned char c, const char *of)
{
    return c != 0 && strchr(of, c) != NULL;
}

/* A word in lower case, with zeros behind it. */
typedef char azdlq_word[16];

/* Whether the bytes, ASCII letters in either case, are one of these words, the last of which is
 * empty. */
bool azdlq_is_among(const azdlq_word *words, const unsigned char *bytes, size_t length);

/* How many digits stand at `place`. */
size_t azdlq_digits(const azdlq_text *text, size_t place);

/* The end behind `:5432` or `/24`, or behind ` seconds`; `end` where no such thing stands there. */
size_t azdlq_with_port(const azdlq_text *text, size_t end);
size_t azdlq_unit_word_end(const azdlq_text *text, size_t end);

/* The length of what stands at `place`, 0 where it is none of that. Each looks at a bounded number
 * of bytes beyond what it finds. */
size_t azdlq_url(const azdlq_text *text, size_t place);
size_t azdlq_email(const azdlq_text *text, size_t place);
size_t azdlq_time(const azdlq_text *text, size_t place); /* a date, a time of day, or both */
size_t azdlq_uuid(const azdlq_text *text, size_t place);
size_t azdlq_pointer(const azdlq_text *text, size_t place); /* 0x7f3b2c1d5e80 */
size_t azdlq_ip(const azdlq_text *text, size_t place);      /* with its port or prefix length */
/* `expected`: the word before says that an address follows, so that a mere name with a port is
 * one. */
size_t azdlq_host(const azdlq_text *text, size_t place, bool expected);
size_t azdlq_path(const azdlq_text *text, size_t place); /* with the line and column behind it */
/* Labels between dots, no capital in the last: users.email, com.acme.orders. */
size_t azdlq_name(const azdlq_text *text, size_t place);
size_t azdlq_number(const azdlq_text *text, size_t place); /* with its unit */
/* Words between hyphens, with digits in the last: order-1009, orders-7d9f8b6c5d-x2x4z. */
size_t azdlq_id(const azdlq_text *text, size_t place);

#endif
