#include "shapes.h"

/* How far a name is followed before it is none. */
enum { LONGEST_SCHEME = 16, LONGEST_NAME = 100 };

static const azdlq_word LOCALHOST[] = {"localhost", ""};
static const azdlq_word DOMAINS[] = {
    "ai", "app", "biz", "ch", "cloud", "com", "corp", "de", "dev", "edu", "eu", "fr", "gov",
    "info", "internal", "io", "lan", "local", "net", "nl", "org", "svc", "test", "uk", "us", ""
};
static const azdlq_word FILES[] = {
    "bin", "c", "cc", "cfg", "conf", "cpp", "cs", "csv", "db", "go", "h", "html", "ini", "jar",
    "java", "js", "json", "kt", "log", "md", "pdf", "php", "py", "pyx", "rb", "rs", "scala",
    "sh", "so", "sql", "toml", "ts", "txt", "xml", "yaml", "yml", ""
};

/* What neither a URL nor a path goes on with. */
static bool is_delimiter(unsigned char c)
{
    return c <= ' ' || strchr("\"'`<>(){}[]|", c) != NULL;
}

static size_t until_delimiter(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (!is_delimiter(azdlq_at(text, end))) {
        end++;
    }
    while (end > place && strchr(".,:;!?", text->bytes[end - 1]) != NULL) {
        end--;
    }
    return end;
}

size_t azdlq_url(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (azdlq_is_word(azdlq_at(text, end)) || azdlq_at(text, end) == '+') {
        if (++end - place > LONGEST_SCHEME) {
            return 0;
        }
    }
    if (end == place || azdlq_at(text, end) != ':' || azdlq_at(text, end + 1) != '/' ||
        azdlq_at(text, end + 2) != '/') {
        return 0;
    }
    end += 3;
    size_t stop = until_delimiter(text, end);
    return (stop > end ? stop : end) - place;
}

static bool is_name_byte(unsigned char c)
{
    return azdlq_is_word(c) || c == '.' || c == '-';
}

/* The end of labels between dots; dots and hyphens at its end are not part of it. */
static size_t name_end(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (end - place < LONGEST_NAME && is_name_byte(azdlq_at(text, end))) {
        end++;
    }
    while (end > place && !azdlq_is_word(text->bytes[end - 1])) {
        end--;
    }
    return end;
}

size_t azdlq_email(const azdlq_text *text, size_t place)
{
    size_t end = place;
    while (is_name_byte(azdlq_at(text, end)) || azdlq_at(text, end) == '+' ||
           azdlq_at(text, end) == '%') {
        if (++end - place > LONGEST_NAME) {
            return 0;
        }
    }
    if (end == place || azdlq_at(text, end) != '@') {
        return 0;
    }
    size_t stop = name_end(text, end + 1);
    if (memchr(text->bytes + end, '.', stop - end) == NULL) {
        return 0;
    }
    return stop - place;
}

/* What a name is made of. */
typedef struct name {
    size_t end, last; /* `last`: where the last label begins */
    bool has_capital, has_other;
} name;

static name read_name(const azdlq_text *text, size_t place)
{
    name found = {name_end(text, place), place, false, false};
    for (size_t i = place; i < found.end; i++) {
        unsigned char c = text->bytes[i];
        found.has_capital = found.has_capital || (unsigned)c - 'A' < 26u;
        found.has_other = found.has_other || c == '.' || c == '-' || azdlq_is_digit(c);
        found.last = c == '.' ? i + 1 : found.last;
    }
    return found;
}

static bool last_is_among(const azdlq_word *words, const azdlq_text *text, const name *of)
{
    return azdlq_is_among(words, text->bytes + of->last, of->end - of->last);
}

size_t azdlq_host(const azdlq_text *text, size_t place, bool expected)
{
    name found = read_name(text, place);
    size_t length = found.end - place;
    if (length == 0 || found.has_capital) {
        return 0;
    }
    size_t end = azdlq_at(text, found.end) == ':' ? azdlq_with_port(text, found.end) : found.end;
    if (azdlq_is_among(LOCALHOST, text->bytes + place, length)) {
        return end - place;
    }
    if (end - found.end > 2 && (found.has_other || expected) &&
        !last_is_among(FILES, text, &found) && azdlq_unit_word_end(text, end) == end) {
        return end - place;
    }
    return found.last > place && last_is_among(DOMAINS, text, &found) ? found.end - place : 0;
}

/* The end behind `:12` and `:5`, where they stand there. */
static size_t with_line(const azdlq_text *text, size_t end)
{
    for (int part = 0; part < 2; part++) {
        size_t found = azdlq_at(text, end) == ':' ? azdlq_digits(text, end + 1) : 0;
        if (found == 0 || azdlq_is_word(azdlq_at(text, end + 1 + found))) {
            break;
        }
        end += found + 1;
    }
    return end;
}

/* Names between slashes, or a name with the extension of a file. */
static size_t relative_path(const azdlq_text *text, size_t place)
{
    size_t end = place, slashes = 0, names = 0;
    for (;;) {
        size_t stop = name_end(text, end);
        if (stop == end) {
            break;
        }
        names = end;
        end = stop;
        if (azdlq_at(text, end) != '/' || !azdlq_is_word(azdlq_at(text, end + 1))) {
            break;
        }
        slashes++;
        end++;
    }
    azdlq_text whole = {text->bytes, end};
    name last = read_name(&whole, names);
    bool is_file = last.last > names && last_is_among(FILES, text, &last);
    return slashes < 2 && !is_file ? 0 : with_line(text, end) - place;
}

size_t azdlq_path(const azdlq_text *text, size_t place)
{
    unsigned char c = azdlq_at(text, place), next = azdlq_at(text, place + 1);
    size_t start = place;
    if (c == '~' || c == '.') {
        start += c == '.' && next == '.' ? 2 : 1;
        return azdlq_at(text, start) == '/' ? until_delimiter(text, start) - place : 0;
    }
    if (c == '/') {
        return next == '/' ? 0 : until_delimiter(text, place) - place;
    }
    if (azdlq_is_letter(c) && next == ':' && azdlq_at(text, place + 2) == '\\') {
        return until_delimiter(text, place) - place;
    }
    return relative_path(text, place);
}

size_t azdlq_id(const azdlq_text *text, size_t place)
{
    size_t end = place, hyphen = 0, digit = 0;
    while (end - place < LONGEST_NAME &&
           (azdlq_is_word(azdlq_at(text, end)) ||
            (azdlq_at(text, end) == '-' && azdlq_is_word(azdlq_at(text, end + 1))))) {
        hyphen = text->bytes[end] == '-' ? end : hyphen;
        digit = azdlq_is_digit(text->bytes[end]) ? end : digit;
        end++;
    }
    return hyphen > 0 && digit > hyphen ? end - place : 0;
}

size_t azdlq_name(const azdlq_text *text, size_t place)
{
    name found = read_name(text, place);
    bool is_name = found.last > place;
    for (size_t i = found.last; i < found.end; i++) {
        is_name = is_name && (unsigned)text->bytes[i] - 'A' >= 26u;
    }
    return is_name && azdlq_is_letter(azdlq_at(text, found.last)) ? found.end - place : 0;
}
