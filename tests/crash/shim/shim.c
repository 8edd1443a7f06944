/* Preloaded into a process on Linux: stands between it and the changes that it makes to the files
   of one folder. It counts them, kills the process at the n-th, makes the n-th fail, or writes all
   of them down. Loaded, it does nothing until `shim_watch` is called. For one thread. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

enum kind { WRITE = 1, TRUNCATE, SYNC, UNLINK, RENAME, NOTE };

/* What becomes of the n-th change, and (of failures) of those behind it. */
enum fault { NO_FAULT, KILLED, KILLED_HALFWAY, FAILS_ONCE, FAILS_FROM_THERE, HALF_THEN_FAILS };

/* How a record begins; the path and `size` bytes of what is written or said follow. */
struct head {
    int32_t kind;
    int32_t path_size;
    int64_t offset; /* or the length that a file is cut to */
    int64_t size;
};

static char folder[PATH_MAX];
static size_t folder_size;
static int64_t changes;
static enum fault fault;
static int64_t fault_at;
static int fault_error;
static int record = -1;

#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (real == NULL) {                                                                            \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);                                        \
    }

void shim_watch(const char *path)
{
    snprintf(folder, sizeof folder, "%s", path);
    folder_size = strlen(folder);
    changes = 0;
}

void shim_fail(int how, int64_t at, int error)
{
    fault = (enum fault)how;
    fault_at = at;
    fault_error = error;
}

int64_t shim_changes(void)
{
    return changes;
}

static ssize_t raw_write(int fd, const void *data, size_t size)
{
    REAL(write)
    return real(fd, data, size);
}

static void put(const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        ssize_t n = raw_write(record, (const char *)data + done, size - done);
        if (n <= 0) {
            abort();
        }
        done += (size_t)n;
    }
}

static void note(enum kind kind, const char *path, int64_t offset, const void *data, size_t size)
{
    if (record < 0) {
        return;
    }
    struct head head = {kind, (int32_t)strlen(path), offset, (int64_t)size};
    put(&head, sizeof head);
    put(path, strlen(path));
    put(data, size);
}

void shim_record(const char *path)
{
    record = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
}

void shim_note(const char *text)
{
    note(NOTE, "", 0, text, strlen(text));
}

static int is_watched(const char *path)
{
    return folder_size > 0 && strncmp(path, folder, folder_size) == 0 &&
           (path[folder_size] == '/' || path[folder_size] == '\0');
}

/* The path of an open file, if it is a watched one. */
static int watched(int fd, char path[PATH_MAX])
{
    if (folder_size == 0 || fd == record) {
        return 0;
    }
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int error = errno;
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = error;
    if (size < 0) {
        return 0;
    }
    path[size] = '\0';
    return is_watched(path);
}

static _Noreturn void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;) {
        pause();
    }
}

enum turn { GOES_ON, FAILS, HALF, HALF_AND_DIES };

/* Counts a change, and says what becomes of it. A full disk refuses writes alone. */
static enum turn next_turn(enum kind kind)
{
    int64_t n = ++changes;
    int refused = kind == WRITE || fault_error != ENOSPC;
    if (fault == NO_FAULT || n < fault_at) {
        return GOES_ON;
    }
    if (n > fault_at) {
        return (fault == FAILS_FROM_THERE || fault == HALF_THEN_FAILS) && refused ? FAILS : GOES_ON;
    }
    switch (fault) {
    case KILLED:
        die();
    case KILLED_HALFWAY:
        if (kind != WRITE) {
            die();
        }
        return HALF_AND_DIES;
    case HALF_THEN_FAILS:
        return kind == WRITE ? HALF : GOES_ON;
    default:
        return refused ? FAILS : GOES_ON;
    }
}

static int failed(void)
{
    errno = fault_error;
    return -1;
}

typedef ssize_t put_at(int fd, const void *data, size_t size, off_t offset);

static ssize_t put_here(int fd, const void *data, size_t size, off_t offset)
{
    (void)offset;
    return raw_write(fd, data, size);
}

static ssize_t change_content(int fd, const void *data, size_t size, off_t offset, put_at *put_at)
{
    char path[PATH_MAX];
    if (!watched(fd, path)) {
        return put_at(fd, data, size, offset);
    }
    enum turn turn = next_turn(WRITE);
    if (turn == FAILS) {
        return failed();
    }
    ssize_t written = put_at(fd, data, turn == GOES_ON ? size : (size + 1) / 2, offset);
    if (turn == HALF_AND_DIES) {
        die();
    }
    if (written > 0) {
        note(WRITE, path, offset, data, (size_t)written);
    }
    return written;
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (folder_size == 0) {
        return raw_write(fd, data, size);
    }
    int error = errno;
    off_t offset = lseek(fd, 0, SEEK_CUR);
    errno = error;
    return change_content(fd, data, size, offset, put_here);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    REAL(pwrite)
    return change_content(fd, data, size, offset, real);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    REAL(pwrite64)
    return change_content(fd, data, size, offset, real);
}

typedef int cut_to(int fd, off_t size);

static int change_size(int fd, off_t size, cut_to *cut_to)
{
    char path[PATH_MAX];
    if (!watched(fd, path)) {
        return cut_to(fd, size);
    }
    if (next_turn(TRUNCATE) == FAILS) {
        return failed();
    }
    int result = cut_to(fd, size);
    if (result == 0) {
        note(TRUNCATE, path, size, NULL, 0);
    }
    return result;
}

int ftruncate(int fd, off_t size)
{
    REAL(ftruncate)
    return change_size(fd, size, real);
}

int ftruncate64(int fd, off64_t size)
{
    REAL(ftruncate64)
    return change_size(fd, size, real);
}

typedef int sync_to_disk(int fd);

static int sync_file(int fd, sync_to_disk *sync_to_disk)
{
    char path[PATH_MAX];
    if (!watched(fd, path)) {
        return sync_to_disk(fd);
    }
    if (next_turn(SYNC) == FAILS) {
        return failed();
    }
    /* The disk itself is not what is tested. */
    note(SYNC, path, 0, NULL, 0);
    return 0;
}

int fsync(int fd)
{
    REAL(fsync)
    return sync_file(fd, real);
}

int fdatasync(int fd)
{
    REAL(fdatasync)
    return sync_file(fd, real);
}

int unlink(const char *path)
{
    REAL(unlink)
    if (!is_watched(path)) {
        return real(path);
    }
    if (next_turn(UNLINK) == FAILS) {
        return failed();
    }
    int result = real(path);
    if (result == 0) {
        note(UNLINK, path, 0, NULL, 0);
    }
    return result;
}

int rename(const char *from, const char *to)
{
    REAL(rename)
    if (!is_watched(to)) {
        return real(from, to);
    }
    if (next_turn(RENAME) == FAILS) {
        return failed();
    }
    int result = real(from, to);
    if (result == 0) {
        note(RENAME, from, 0, to, strlen(to));
    }
    return result;
}
