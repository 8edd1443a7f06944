#ifndef AZDLQ_UTF8_H
#define AZDLQ_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/* Whether `length` bytes are UTF-8 as Python's strict decoder takes it: no surrogates, no overlong
 * forms, nothing beyond U+10FFFF, no sequence cut short. */
bool azdlq_utf8_valid(const char *text, size_t length);

#endif
