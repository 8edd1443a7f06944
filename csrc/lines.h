#ifndef AZDLQ_LINES_H
#define AZDLQ_LINES_H

#include <stddef.h>

/* Copies the lines that tell what went wrong, without those that tell where: frames of stack
 * traces, the statement that PostgreSQL repeats, the parameters that SQLAlchemy does. Returns how
 * many bytes were written, at most `length`. */
size_t azdlq_telling_lines(const unsigned char *text, size_t length, unsigned char *out);

#endif
