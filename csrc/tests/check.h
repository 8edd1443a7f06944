#ifndef AZDLQ_CHECK_H
#define AZDLQ_CHECK_H

#include <stdio.h>

/* Each test program reports every failed check and exits with 1 if there was one. */
static int failed_checks = 0;

#define CHECK(condition)                                                     \
    do {                                                                     \
        if (!(condition)) {                                                  \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);  \
            failed_checks++;                                                 \
        }                                                                    \
    } while (0)

#define FINISH() return failed_checks == 0 ? 0 : 1

#endif
