#ifndef AZDLQ_TIMESTAMP_H
#define AZDLQ_TIMESTAMP_H

#include <stddef.h>
#include <stdint.h>

#include "result.h"

/* Instants are microseconds since 1970-01-01T00:00:00 UTC. */

enum { AZDLQ_TIMESTAMP_LENGTH = 27 };

/* Reads `length` bytes (no NUL needed) of the form
 *     YYYY-MM-DD ('T' | 't' | ' ') HH:MM:SS [. digits] [Z | z | (+ | -) HH:MM]
 * Years 0001 to 9999, offsets to 23:59; without an offset the text is UTC. The fraction is cut
 * after its sixth digit. Second 60 is read as the second after it, and only where it is the last
 * of a UTC day. The instant may lie a day outside the years, by its offset or a leap second.
 * Anything else: AZDLQ_NOT_A_TIMESTAMP. */
azdlq_result azdlq_timestamp_parse(const char *text, size_t length, int64_t *instant_us);

/* Writes `YYYY-MM-DDTHH:MM:SS.ffffffZ`, AZDLQ_TIMESTAMP_LENGTH characters and no NUL.
 * AZDLQ_OUT_OF_RANGE for instants outside the years 0001 to 9999. */
azdlq_result azdlq_timestamp_format(int64_t instant_us, char *text);

#endif
