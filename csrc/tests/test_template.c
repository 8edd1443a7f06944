#include "template.h"

#include <string.h>

#include "check.h"

static char template[AZDLQ_TEMPLATE_ROOM];

static size_t masked(const char *text, size_t length)
{
    return azdlq_template(text, length, template);
}

static int becomes(const char *text, const char *expected)
{
    size_t length = masked(text, strlen(text));
    if (length == strlen(expected) && memcmp(template, expected, length) == 0) {
        return 1;
    }
    fprintf(stderr, "%.*s\n", (int)length, template);
    return 0;
}

static void what_differs_from_letter_to_letter_is_masked(void)
{
    CHECK(becomes("took 30s for -3 or 7% of 1.5 GB", "took <num> for <num> or <num> of <num>"));
    CHECK(becomes("no 7c9e6679-7425-40de-944b-e07fc1f90ae7 here", "no <uuid> here"));
    CHECK(becomes("at 0x7f3b or 9f86d081", "at <hex> or <hex>"));
    CHECK(becomes("to 10.0.0.5:5432 or [::1]:80", "to <address> or <address>"));
    CHECK(becomes("to db.internal or kafka-0:9092", "to <address> or <address>"));
    CHECK(becomes("open /var/lib/x.json: denied", "open <path>: denied"));
    CHECK(becomes("by 'a b' or \"c\" or `d`", "by <quoted> or <quoted> or <quoted>"));
    CHECK(becomes("see https://a.b/c?d=1 now", "see <url> now"));
    CHECK(becomes("mail to ann@example.com bounced", "mail to <email> bounced"));
    CHECK(becomes("since 2026-11-24T03:46:00.1Z and 03:46:00", "since <time> and <time>"));
    CHECK(becomes("order-17 or ch_3MmlLrLkdIwHu7ix", "<id> or ch_<id>"));
    CHECK(becomes("UNIQUE constraint failed: users.email", "UNIQUE constraint failed: <name>"));
}

static void what_tells_the_cause_stays(void)
{
    CHECK(becomes("HTTP 503 from it", "HTTP 503 from it"));
    CHECK(becomes("[Errno 111] Connection refused", "[Errno 111] Connection refused"));
    CHECK(becomes("ORA-00060: deadlock", "ORA-00060: deadlock"));
    CHECK(becomes("an error (SQLSTATE 23505)", "an error (SQLSTATE 23505)"));
    CHECK(becomes("java.net.ConnectException", "java.net.ConnectException"));
    CHECK(becomes("it can't be, isn't it", "it can't be, isn't it"));
    CHECK(becomes("X('a sentence of five words here')", "X('a sentence of five words here')"));
}

static void lists_are_one_whatever_their_length(void)
{
    CHECK(becomes("not in (1, 2, 3)", "not in (<num>)"));
    CHECK(becomes("not in (1)", "not in (<num>)"));
    CHECK(becomes("Key (a, b)=(1, x y) already exists", "Key <quoted> already exists"));
}

static void frames_of_stack_traces_are_left_out(void)
{
    CHECK(becomes("E: x\n\tat a.b(C.java:1)\n\t... 3 more\nCaused by: y", "E: x Caused by: y"));
    CHECK(becomes("Traceback (most recent call last):\n  File \"a\", line 1\n    f()\nE: x",
                  "E: x"));
    CHECK(becomes("panic\n\ngoroutine 1 [running]:\nmain.main()\n\t/a.go:1", "panic"));
    CHECK(becomes("relation \"a\" is not there\nLINE 1: SELECT\n        ^\n",
                  "relation <quoted> is not there"));
    CHECK(becomes("a\n  b", "a b"));
}

static void the_type_before_a_sentence_does_not_count(void)
{
    CHECK(becomes("sqlite3.OperationalError: database is locked", "database is locked"));
    CHECK(becomes("FATAL:  too many clients", "too many clients"));
    CHECK(becomes("OperationalError: locked", "OperationalError: locked"));
}

static void any_bytes_make_utf8(void)
{
    CHECK(becomes("", ""));
    CHECK(becomes("   \n\t ", ""));
    CHECK(becomes("caf\xC3\xA9 5", "caf\xC3\xA9 <num>"));
    CHECK(becomes("caf\xE9\xE9 5", "caf? <num>"));
    CHECK(masked("a\0 1\0b", 6) == 10 && memcmp(template, "a\0 <num>\0b", 10) == 0);
}

static void the_first_4096_bytes_count(void)
{
    static char text[AZDLQ_TEMPLATE_TEXT + 2];
    memset(text, 'x', sizeof text);
    CHECK(masked(text, sizeof text) == AZDLQ_TEMPLATE_TEXT);
    memcpy(text + AZDLQ_TEMPLATE_TEXT - 1, "\xC3\xA9", 2);
    CHECK(masked(text, sizeof text) == AZDLQ_TEMPLATE_TEXT - 1);
    for (size_t i = 0; i < sizeof text; i++) {
        text[i] = i % 2 == 0 ? '/' : '(';
    }
    CHECK(masked(text, sizeof text) <= AZDLQ_TEMPLATE_ROOM);
}

static void fingerprints_are_pinned(void)
{
    CHECK(azdlq_fingerprint("", 0) == UINT64_C(0xC3817C016BA4FF30));
    CHECK(azdlq_fingerprint("boom", 4) == UINT64_C(0x86F470C8D1E8E01C));
}

int main(void)
{
    what_differs_from_letter_to_letter_is_masked();
    what_tells_the_cause_stays();
    lists_are_one_whatever_their_length();
    frames_of_stack_traces_are_left_out();
    the_type_before_a_sentence_does_not_count();
    any_bytes_make_utf8();
    the_first_4096_bytes_count();
    fingerprints_are_pinned();
    FINISH();
}
