#ifndef AZDLQ_TEMPLATE_H
#define AZDLQ_TEMPLATE_H

#include <stddef.h>
#include <stdint.h>

#define AZDLQ_TEMPLATE_TEXT 4096
/* Room that is enough for every template: `/(` becomes `<path>(`. */
#define AZDLQ_TEMPLATE_ROOM (4 * AZDLQ_TEMPLATE_TEXT)

/* How much of a text counts: at most AZDLQ_TEMPLATE_TEXT, up to the end of a character. */
size_t azdlq_counting_part(const char *text, size_t length);

/* Masks what differs from letter to letter, and leaves out the frames of stack traces; writes the
 * template, always UTF-8, and returns its length. In a text that is no UTF-8, bytes beyond ASCII
 * count as `?`. The rules are part of every fingerprint that is kept somewhere: none is ever
 * changed. */
size_t azdlq_template(const char *text, size_t length, char *out);

/* A hash of a template: 64-bit FNV-1a, mixed once more. */
uint64_t azdlq_fingerprint(const char *template, size_t length);

#endif
