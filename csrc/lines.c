#include "lines.h"

#include "shapes.h"

/* Where in a text a line stands. */
typedef enum surroundings { PROSE, TRACE, GOROUTINES } surroundings;

static bool begins(const azdlq_text *line, const char *with)
{
    size_t length = strlen(with);
    return line->length >= length && memcmp(line->bytes, with, length) == 0;
}

/* Whether the line begins with a text and a digit. */
static bool begins_with_number(const azdlq_text *line, const char *before)
{
    return begins(line, before) && azdlq_is_digit(azdlq_at(line, strlen(before)));
}

/* Of a line without its indentation: Java, Python and Rust. */
static bool is_frame(const azdlq_text *line)
{
    size_t end = 0;
    while (azdlq_is_digit(azdlq_at(line, end))) {
        end++;
    }
    return begins(line, "at ") || begins(line, "File \"") || begins_with_number(line, "... ") ||
           (end > 0 && azdlq_at(line, end) == ':');
}

static bool is_underline(const azdlq_text *line)
{
    for (size_t i = 0; i < line->length; i++) {
        if (!azdlq_is_any(line->bytes[i], "^~ \r")) {
            return false;
        }
    }
    return true;
}

/* Whether a line tells what went wrong; `where` is moved on. */
static bool is_telling(const azdlq_text *line, surroundings *where)
{
    if (*where == GOROUTINES) {
        return false;
    }
    size_t indent = 0;
    while (azdlq_at(line, indent) == ' ' || azdlq_at(line, indent) == '\t') {
        indent++;
    }
    if (indent > 0) {
        azdlq_text content = {line->bytes + indent, line->length - indent};
        *where = is_frame(&content) ? TRACE : *where;
        return *where != TRACE && !is_underline(&content);
    }
    *where = PROSE;
    if (begins(line, "Traceback (most recent call last):")) {
        *where = TRACE;
    } else if (begins_with_number(line, "goroutine ")) {
        *where = GOROUTINES;
    }
    return *where == PROSE && !begins_with_number(line, "LINE ") &&
           !begins(line, "[parameters: ") && !begins(line, "[signal ") &&
           !begins(line, "note: run with `RUST_BACKTRACE");
}

size_t azdlq_telling_lines(const unsigned char *text, size_t length, unsigned char *out)
{
    surroundings where = PROSE;
    size_t written = 0;
    for (size_t start = 0; start < length;) {
        const unsigned char *newline = memchr(text + start, '\n', length - start);
        size_t end = newline == NULL ? length : (size_t)(newline - text);
        azdlq_text line = {text + start, end - start};
        start = end < length ? end + 1 : end;
        if (is_telling(&line, &where)) {
            size_t copied = (size_t)(text + start - line.bytes);
            memcpy(out + written, line.bytes, copied);
            written += copied;
        }
    }
    return written;
}
