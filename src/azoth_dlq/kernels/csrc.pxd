from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

cdef extern from "result.h" nogil:
    ctypedef enum azdlq_result:
        AZDLQ_OK
        AZDLQ_INVALID
        AZDLQ_NOT_A_TIMESTAMP
        AZDLQ_OUT_OF_RANGE

cdef extern from "backoff.h" nogil:
    const int32_t AZDLQ_FIXED
    const int32_t AZDLQ_EXPONENTIAL
    const int32_t AZDLQ_FIBONACCI
    const uint64_t AZDLQ_JITTER_ONE

    ctypedef struct azdlq_backoff:
        int32_t kind
        int64_t initial_us
        int64_t max_us
        uint64_t jitter

    azdlq_result azdlq_backoff_check(const azdlq_backoff *backoff)
    int64_t azdlq_backoff_delay(const azdlq_backoff *backoff, int64_t attempt)
    azdlq_result azdlq_backoff_delays(const azdlq_backoff *backoff, const int64_t *attempts,
                                      size_t count, int64_t *delays, size_t *negative)
    int64_t azdlq_backoff_jittered(int64_t delay_us, uint64_t jitter, int64_t id,
                                   int64_t retry_count)

cdef extern from "timestamp.h" nogil:
    const int AZDLQ_TIMESTAMP_LENGTH

    azdlq_result azdlq_timestamp_parse(const char *text, size_t length, int64_t *instant_us)
    azdlq_result azdlq_timestamp_format(int64_t instant_us, char *text)

cdef extern from "eligibility.h" nogil:
    const int64_t AZDLQ_NONE
    const int64_t AZDLQ_UNREADABLE

    ctypedef enum azdlq_verdict:
        AZDLQ_DUE
        AZDLQ_WAITING
        AZDLQ_EXHAUSTED
        AZDLQ_BAD_RETRY_COUNT
        AZDLQ_NEGATIVE_RETRY_COUNT
        AZDLQ_BAD_FAILED_AT
        AZDLQ_BAD_LAST_RETRY_AT

    ctypedef struct azdlq_rules:
        int64_t now_us
        int64_t max_retries
        int64_t min_age_us
        azdlq_backoff backoff
        int32_t waive_delay

    ctypedef struct azdlq_letter:
        int64_t id
        int64_t retry_count
        int64_t failed_at
        int64_t last_retry_at
        int64_t not_before

    ctypedef struct azdlq_columns:
        const int64_t *id
        const int64_t *retry_count
        const int64_t *failed_at
        const int64_t *last_retry_at
        const int64_t *not_before

    ctypedef struct azdlq_due_summary:
        size_t due
        size_t waiting
        int64_t next_due_us

    azdlq_result azdlq_rules_check(const azdlq_rules *rules)
    azdlq_verdict azdlq_judge(const azdlq_rules *rules, const azdlq_letter *letter,
                              int64_t *due_at_us)
    azdlq_result azdlq_due(const azdlq_rules *rules, const azdlq_columns *columns, size_t count,
                           int64_t *indices, uint8_t *verdicts, azdlq_due_summary *summary)
    uint32_t azdlq_stamp(const azdlq_letter *letter)

cdef extern from "order.h" nogil:
    ctypedef struct azdlq_key:
        int64_t instant_us
        int64_t id
        int32_t rank
        uint32_t stamp

    void azdlq_sort(azdlq_key *keys, size_t count, int descending)
    int64_t *azdlq_keep_ids(azdlq_key *keys, size_t count, uint32_t *stamps)

cdef extern from "match.h" nogil:
    ctypedef struct azdlq_needle:
        const char *text
        size_t length

    ctypedef struct azdlq_needles:
        const azdlq_needle *needles
        int32_t *next
        int32_t count
        int32_t first[256]

    void azdlq_needles_init(azdlq_needles *index, const azdlq_needle *needles, int32_t *next,
                            int32_t count)
    int32_t azdlq_match(const azdlq_needles *index, const char *text, size_t length)

cdef extern from "utf8.h" nogil:
    bint azdlq_utf8_valid(const char *text, size_t length)

cdef extern from "template.h" nogil:
    const size_t AZDLQ_TEMPLATE_TEXT
    const size_t AZDLQ_TEMPLATE_ROOM

    size_t azdlq_counting_part(const char *text, size_t length)
    size_t azdlq_template(const char *text, size_t length, char *out)
    uint64_t azdlq_fingerprint(const char *template, size_t length)
