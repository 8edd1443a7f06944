/* The limit: what SQLite itself needs to drain a file, without Python.
 *
 *     limit DB LETTERS SECONDS CACHE call|write|fail [TRACEBACK]
 *
 * Plans once (ids of due letters by retry count, then age), then for each group of LETTERS: BEGIN
 * IMMEDIATE, reads each payload by id and calls a C function, deletes in the order of ids, COMMIT.
 * With SECONDS above 0 it is bound as a drain is: a group is ended after so long, with what is still
 * to be written, and the log is emptied at 256 MB and in the end. CACHE is how much of the file
 * SQLite may keep, in KiB (0: as much as it does by itself).
 * With `write` the function does one UPDATE of `accounts`, each under a savepoint of its own. With
 * `fail` no letter is deleted: the failure is written to it, and to the history with TRACEBACK.
 * Prints the version of SQLite, the letters, the seconds and those of each phase as JSON. Changes no
 * setting of the file; its connection has synchronous=NORMAL. */

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char PLAN[] =
    "SELECT id FROM dead_letter_queue WHERE retry_count < 5 AND "
    "datetime(coalesce(last_retry_at, failed_at)) <= datetime('now', '-5 seconds') "
    "ORDER BY retry_count, failed_at";
static const char READ[] =
    "SELECT event_id, event_bytes, error_message, failed_at, retry_count "
    "FROM dead_letter_queue WHERE id = ?";
static const char ACK[] = "DELETE FROM dead_letter_queue WHERE id = ?";
static const char FAIL[] =
    "UPDATE dead_letter_queue SET retry_count = retry_count + 1, last_retry_at = ?2, "
    "azoth_last_error = ?3, azoth_not_before = NULL, azoth_not_before_count = NULL, "
    "azoth_not_before_retry_at = NULL, azoth_base = ?4, azoth_base_of = ?2 WHERE id = ?1";
static const char RECORD[] =
    "INSERT INTO azoth_dlq_history "
    "(letter_id, at, outcome, error_type, message, traceback, duration) "
    "VALUES (?1, ?2, 'failed', 'ValueError', 'the ledger does not answer', ?3, 2)";
static const char FAILED_AT[] = "2026-11-24 03:46:12.123456";
static const sqlite3_int64 FAILED_US = 1795491972123456;

static sqlite3 *db;
static volatile long long sink;

static void must(int code, int line)
{
    if (code != SQLITE_OK && code != SQLITE_ROW && code != SQLITE_DONE) {
        fprintf(stderr, "limit.c:%d: %s\n", line, sqlite3_errmsg(db));
        exit(1);
    }
}
#define MUST(call) must((call), __LINE__)

static void run(const char *sql)
{
    MUST(sqlite3_exec(db, sql, NULL, NULL, NULL));
}

static void set_cache(long kibibytes)
{
    char sql[64];
    if (kibibytes > 0) {
        snprintf(sql, sizeof sql, "PRAGMA cache_size = -%ld", kibibytes);
        run(sql);
    }
}

/* Once it is set, SQLite makes no checkpoints by itself. */
static int note_log(void *pages, sqlite3 *in, const char *schema, int count)
{
    (void)in, (void)schema;
    *(int *)pages = count;
    return SQLITE_OK;
}

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *statement;
    MUST(sqlite3_prepare_v2(db, sql, -1, &statement, NULL));
    return statement;
}

static void step(sqlite3_stmt *statement)
{
    MUST(sqlite3_step(statement));
    MUST(sqlite3_reset(statement));
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#if defined(__GNUC__)
__attribute__((noinline))
#endif
static void handle(sqlite3_int64 event_id, const char *payload, int length)
{
    sink += event_id + length + (length > 0 ? payload[0] : 0);
}

static int by_id(const void *a, const void *b)
{
    sqlite3_int64 left = *(const sqlite3_int64 *)a, right = *(const sqlite3_int64 *)b;
    return (left > right) - (left < right);
}

static sqlite3_int64 *plan(size_t *count)
{
    size_t room = 1 << 16;
    sqlite3_int64 *ids = malloc(room * sizeof *ids);
    sqlite3_stmt *statement = prepare(PLAN);
    *count = 0;
    while (ids != NULL && sqlite3_step(statement) == SQLITE_ROW) {
        if (*count == room) {
            room *= 2;
            ids = realloc(ids, room * sizeof *ids);
        }
        if (ids != NULL)
            ids[(*count)++] = sqlite3_column_int64(statement, 0);
    }
    sqlite3_finalize(statement);
    if (ids == NULL)
        exit(1);
    return ids;
}

static void acknowledge(const sqlite3_int64 *ids, size_t count)
{
    static sqlite3_stmt *ack;
    if (ack == NULL)
        ack = prepare(ACK);
    for (size_t i = 0; i < count; i++) {
        MUST(sqlite3_bind_int64(ack, 1, ids[i]));
        step(ack);
    }
}

static void fail(const sqlite3_int64 *ids, size_t count, const char *traceback)
{
    static sqlite3_stmt *update, *record;
    if (update == NULL) {
        update = prepare(FAIL);
        record = prepare(RECORD);
        MUST(sqlite3_bind_text(update, 2, FAILED_AT, -1, SQLITE_STATIC));
        MUST(sqlite3_bind_text(update, 3, "ValueError: the ledger does not answer", -1,
                               SQLITE_STATIC));
        MUST(sqlite3_bind_int64(update, 4, FAILED_US));
        MUST(sqlite3_bind_int64(record, 2, FAILED_US));
        MUST(sqlite3_bind_text(record, 3, traceback, -1, SQLITE_STATIC));
    }
    for (size_t i = 0; i < count; i++) {
        MUST(sqlite3_bind_int64(update, 1, ids[i]));
        step(update);
    }
    for (size_t i = 0; i < count; i++) {
        MUST(sqlite3_bind_int64(record, 1, ids[i]));
        step(record);
    }
}

/* Calls the function for letters of the plan until there are `most`, or until time is up; how many. */
static size_t call(const sqlite3_int64 *ids, size_t most, int writes, double seconds,
                   double write_seconds)
{
    static sqlite3_stmt *read, *update, *savepoint, *release;
    if (read == NULL) {
        read = prepare(READ);
        update = prepare("UPDATE accounts SET balance = balance + 1 WHERE id = ?");
        savepoint = prepare("SAVEPOINT letter");
        release = prepare("RELEASE letter");
    }
    double began = now();
    size_t size;
    for (size = 0; size < most; size++) {
        if (seconds > 0 && now() - began + (double)size * write_seconds >= seconds)
            break;
        MUST(sqlite3_bind_int64(read, 1, ids[size]));
        if (sqlite3_step(read) == SQLITE_ROW) {
            sqlite3_int64 event_id = sqlite3_column_int64(read, 0);
            if (writes)
                step(savepoint);
            handle(event_id, sqlite3_column_blob(read, 1), sqlite3_column_bytes(read, 1));
            if (writes) {
                MUST(sqlite3_bind_int64(update, 1, event_id % 1000));
                step(update);
                step(release);
            }
        }
        MUST(sqlite3_reset(read));
    }
    return size;
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        fprintf(stderr, "usage: limit DB LETTERS SECONDS CACHE call|write|fail [TRACEBACK]\n");
        return 2;
    }
    size_t group = strtoul(argv[2], NULL, 10), count;
    double most_seconds = strtod(argv[3], NULL), write_seconds = 2e-6;
    int writes = strcmp(argv[5], "write") == 0, fails = strcmp(argv[5], "fail") == 0;
    MUST(sqlite3_open(argv[1], &db));
    run("PRAGMA synchronous = NORMAL");
    set_cache(strtol(argv[4], NULL, 10));
    int log_pages = 0, most_log_pages = (256 << 20) / 4096;
    if (most_seconds > 0)
        sqlite3_wal_hook(db, note_log, &log_pages);

    double start = now(), in_plan, in_calls = 0, in_writes = 0, in_commits = 0;
    sqlite3_int64 *ids = plan(&count);
    in_plan = now() - start;
    for (size_t first = 0, size; first < count; first += size) {
        size_t most = count - first < group ? count - first : group;
        double began = now(), called, written, ended;
        run("BEGIN IMMEDIATE");
        size = call(ids + first, most, writes, most_seconds, write_seconds);
        called = now();
        qsort(ids + first, size, sizeof *ids, by_id);
        if (fails)
            fail(ids + first, size, argc > 6 ? argv[6] : "");
        else
            acknowledge(ids + first, size);
        written = now();
        run("COMMIT");
        if (log_pages >= most_log_pages)
            run("PRAGMA wal_checkpoint");
        ended = now();
        if (size > 0)
            write_seconds = (ended - called) / (double)size;
        in_calls += called - began;
        in_writes += written - called;
        in_commits += ended - written;
    }
    double before_last = now();
    if (most_seconds > 0)
        run("PRAGMA wal_checkpoint");
    in_commits += now() - before_last;
    printf("{\"source_id\": \"%s\", \"letters\": %zu, \"seconds\": %.6f, \"phases\": "
           "{\"plan\": %.6f, \"calls\": %.6f, \"writes\": %.6f, \"commits\": %.6f}}\n",
           sqlite3_sourceid(), count, now() - start, in_plan, in_calls, in_writes, in_commits);
    return 0;
}
