"""Letters attempted in one transaction, and what becomes of each.

Compiled, since it notes each letter that fails, and so that no signal comes amid one outcome: what
may run code of others, such as an error's own or a clock, runs before any of it is noted.
"""

import logging

cimport cython
from cpython.unicode cimport PyUnicode_GET_LENGTH

from azoth_dlq import event_type as types
from azoth_dlq.clock import writable
from azoth_dlq.durations import format_seconds, to_microseconds
from azoth_dlq.engine._failure import texts_of
from azoth_dlq.engine.failure import (
    error_type_name,
    letter_text,
    one_line,
    readable,
    traceback_text,
)
from azoth_dlq.errors import EventDecodeError, InvalidStateError
from azoth_dlq.outcomes import NonRetryable, RetryAfter, Snooze
from azoth_dlq.store.settlement import Attempted, Parking, Retry, Settlement, Snoozed

# A logger of their own, so that lines a letter can be left out.
logger = logging.getLogger("azoth_dlq.letters")
cdef Py_ssize_t EVENT_START = types.EVENT_START
cdef object MOST_RETRIES = 2**63 - 1
cdef str ROGUE = error_type_name(InvalidStateError())
cdef Py_ssize_t MOST_TEXT = 8 * 1024 * 1024  # characters of errors: held until they are written


@cython.final
cdef class Raised:
    """What the handler of an event (None: it led to none) raised, in texts.

    It is made where a handler's own code may run: an error's text is code, too.
    """

    cdef readonly str text
    cdef str event_type, handler, kind, message, traceback, reason
    cdef object delay
    cdef bint is_snooze, is_handlers

    @property
    def counts(self):
        """Whether it is a failure of those after so many of which a drain stops."""
        return self.is_handlers and not self.is_snooze

    def __cinit__(self, registration, error, *, bint with_traceback):
        self.handler = "" if registration is None else registration.name
        self.event_type = "" if registration is None else registration.event_type
        self.is_handlers = True
        self.reason = ""
        self.delay = asked_delay(error)
        origin = error
        if issubclass(type(error), EventDecodeError):
            # It led to no handler; where a route raised, that is its cause.
            origin, self.is_handlers, self.handler = error.__cause__, False, ""
        self.text, self.kind, self.message, self.traceback = texts_of(
            error, with_traceback=with_traceback and origin is error
        )
        if with_traceback and origin is not None and origin is not error:
            self.traceback = traceback_text(origin)
        self.is_snooze = self.delay is not None and issubclass(type(error), Snooze)
        if issubclass(type(error), NonRetryable):
            self.is_handlers, self.reason = False, f"not retryable: {self.text}"


@cython.final
cdef class Group:
    """Collects outcomes until they are settled and committed together.

    A row is one of `Store.fetch`: its id, its retry_count, …, its event id and event bytes.
    """

    cdef readonly object identity, settlement  # by the first it is counted once
    cdef readonly list acked, recorded
    cdef readonly list errors  # of failed attempts
    cdef readonly dict attempts  # how many there were, by event type and outcome
    cdef readonly dict seconds  # of calls by event type
    cdef readonly str stopped  # "failures", or None
    # The drain before was stopped: one letter at a time, until an outcome counts.
    cdef readonly bint is_probe
    cdef readonly Py_ssize_t unreadable, exhausted, deaths
    cdef public Py_ssize_t skipped, failures_in_row
    cdef public Py_ssize_t not_planned  # of those that failed: they are no part of the plan
    cdef public tuple last_called  # the row whose handler ran last
    cdef public str handler  # the name of that handler, once it is in question
    cdef public object error  # what that handler raised, in words
    cdef public list batch  # the letters of that call, where it was a batch's
    # Of the letter behind the last: registration, payload, event bytes.
    cdef public tuple outside
    cdef readonly list met  # letters to be claimed: row, registration, payload, event bytes
    cdef readonly list next_calls  # to be claimed in this group
    cdef readonly list settled_calls  # called before it
    cdef public Py_ssize_t lost  # calls that took too long, and go on
    cdef public object interrupt  # what ends the drain
    cdef public bint full  # it is to be committed now
    cdef public bint is_blocked  # the next letter is to be called outside, and there is no room
    cdef public bint stale  # a handler changed letters: those fetched must be fetched anew
    # What a program hears, None where it does not ask: of attempts, letter id, event id, event type
    # (or the event's head), outcome, error, retry count, seconds; of parked letters the first three
    # and the reason.
    cdef readonly list heard, heard_parked
    cdef object max_retries, most_in_row, clock
    cdef bint keeps_history, tells_debug, is_logged
    cdef list lines  # for the log
    cdef Py_ssize_t held  # characters of errors

    def __cinit__(self, config, clock, Py_ssize_t failures_in_row=0, hooks=None):
        self.max_retries = config.max_retries
        self.most_in_row = config.stop_on_consecutive_failures
        self.keeps_history = config.history_limit > 0
        self.clock = clock
        self.identity = object()
        self.settlement = Settlement()
        self.acked, self.recorded = self.settlement.acked, self.settlement.recorded
        self.failures_in_row = failures_in_row
        self.is_probe = self.most_in_row is not None and failures_in_row >= self.most_in_row
        self.handler = ""
        self.errors, self.lines = [], []
        self.met, self.next_calls, self.settled_calls = [], [], []
        self.attempts, self.seconds = {}, {}
        self.tells_debug = logger.isEnabledFor(logging.DEBUG)
        if hooks is not None:
            self.heard = None if hooks.on_attempt is None else []
            self.heard_parked = None if hooks.on_parked is None else []

    def __len__(self):
        """Letters attempted."""
        return len(self.acked) + self.failed + self.snoozed

    @property
    def written(self):
        """Letters attempted, or parked unattempted."""
        return len(self) + self.unreadable + self.exhausted

    @property
    def failed(self):
        return len(self.errors)

    @property
    def snoozed(self):
        return len(self.settlement.snoozed)

    def called(self, event_type, succeeded, counts, seconds):
        """Handlers of a type were called: how many letters succeeded, how many calls took how long
        (by bucket), and how long all of them together."""
        if succeeded:
            self.count(event_type, "succeeded", succeeded)
        known, sum_before = self.seconds.get(event_type, ([0] * len(counts), 0.0))
        self.seconds[event_type] = (
            [a + b for a, b in zip(known, counts, strict=True)],
            sum_before + seconds,
        )

    def succeeded(self, row, registration, double seconds):
        """The letter's handler, outside the transaction, returned after `seconds`."""
        self.acked.append(row[0])
        self.hear(row, registration.event_type, "succeeded", None, row[1], seconds)
        if row[len(row) - 3]:
            self.recorded.append(row[0])
        self.failures_in_row = 0

    def succeeded_not(self):
        """The letter that was acked last did not succeed after all."""
        self.acked.pop()
        if self.heard:
            self.heard.pop()

    def raised(self, tuple row not None, registration, error, double seconds, undo):
        """The letter's handler (None: the event led to none) raised `error` after `seconds`.

        `undo`: takes back what was written, and returns what the handler did wrong, or None. Until
        then the letter is isolated, for what tells the error is its own code. None: nothing of a
        program's own was called.
        """
        cdef Raised raised = Raised(
            registration, error, with_traceback=self.keeps_history or self.tells_debug
        )
        self.error = raised.text
        # Its frames may hold a cursor, and with it a statement that is half read.
        BaseException.with_traceback(error, None)
        violation = None if undo is None else undo(error)
        if violation is None:
            self.failed_as(row, raised, seconds)
        else:
            name = "the registry's route" if registration is None else registration.name
            is_handlers = registration is not None
            told = f"{name}: {violation}"
            self.failed_with(row, told, raised.event_type, in_handler=is_handlers)

    def failed_as(self, tuple row not None, Raised raised not None, double seconds):
        """What was raised, told before, becomes of the letter."""
        cdef str event_type = raised.event_type, handler = raised.handler
        at = self.now()
        outcome = "snoozed" if raised.is_snooze else "failed"
        attempt = self.attempt(
            row, at, outcome, raised.kind, raised.message, raised.traceback, seconds
        )
        if raised.is_snooze:
            self.snooze(row, event_type, handler, at, raised.delay, raised.text, attempt)
            self.hear(row, event_type, outcome, raised.text, row[1], seconds)
            return
        self.charge(
            row, event_type, handler, at, raised.text, raised.reason, raised.delay, attempt,
            raised.is_handlers,
        )
        self.hear(row, event_type, outcome, raised.text, count_after(row), seconds)
        if self.tells_debug and raised.traceback:
            self.lines.append((logging.DEBUG, "%s: %s", (letter_text(row), raised.traceback)))

    def failed_with(self, tuple row not None, text, str event_type="", *, bint in_handler=True):
        """The letter's attempt failed with what `text` says."""
        told, at = readable(text), self.now()
        attempt = self.attempt(row, at, "failed", ROGUE, told, "", None)
        self.charge(row, event_type, "", at, told, "", None, attempt, in_handler)
        self.hear(row, event_type, "failed", told, count_after(row), None)

    def charge_death(self, tuple row not None, str text not None):
        """The letter's attempt ended with the process that made it."""
        at = self.now()
        attempt = self.attempt(row, at, "died", "", text, "", None)
        self.charge(row, "", "", at, text, "", None, attempt, False)
        self.hear(row, "", "died", text, count_after(row), None)
        self.deaths += 1

    def park_unattempted(self, letter_id, str reason not None, *, bint unreadable, event=None):
        """`event`: its id and what it begins with, where they are known."""
        at, told = self.now(), one_line(reason)
        if unreadable:
            self.unreadable += 1
        else:
            self.exhausted += 1
        self.settlement.parked.append(Parking(letter_id, at, reason, None, None, None))
        self.lines.append((logging.ERROR, "letter %d: parked: %s", (letter_id, told)))
        if self.heard_parked is not None:
            event_id, head = (None, None) if event is None else event
            self.heard_parked.append((letter_id, event_id, head, reason))

    def take_heard(self):
        """What a program is to hear of attempts and of parked letters; nothing the second time."""
        heard, parked = self.heard or [], self.heard_parked or []
        self.heard, self.heard_parked = None, None
        return heard, parked

    def log(self):
        """Say what was committed: DEBUG a success, and where a failure was raised; INFO a snooze;
        WARNING a failure; ERROR a letter parked. Nothing the second time."""
        if self.is_logged:
            return
        self.is_logged = True
        if self.tells_debug:
            for letter_id in self.acked:
                logger.debug("letter %d: replayed", letter_id)
        for level, message, values in self.lines:
            logger.log(level, message, *values)

    cdef object now(self):
        return writable(self.clock())

    cdef object attempt(
        self, tuple row, at, str outcome, str kind, str message, str traceback, seconds
    ):
        """The attempt for the history, None where none is kept."""
        if not self.keeps_history:
            return None
        duration = None if seconds is None else round(seconds * 1_000_000)
        # Notes: whether an attempt before is recorded.
        is_first = not row[len(row) - 3]
        values = row[0], at, outcome, kind, message, traceback, duration, is_first
        return tuple.__new__(Attempted, values)

    cdef int snooze(
        self, tuple row, str event_type, str handler, at, delay, str text, attempt
    ) except -1:
        line = None
        until = writable(at + delay)
        if logger.isEnabledFor(logging.INFO):
            values = letter_text(row), format_seconds(delay), one_line(handler), one_line(text)
            line = logging.INFO, "%s: snoozed for %s s in %s: %s", values
        self.settlement.snoozed.append(Snoozed(row[0], until))
        return self.note(event_type, "snoozed", attempt, line)

    cdef int charge(
        self, tuple row, str event_type, str handler, at, str text, str reason, delay, attempt,
        bint is_handlers,
    ) except -1:
        """The attempt is spent; the letter is parked for the `reason`, or if it was the last."""
        count = count_after(row)
        if not reason and count >= self.max_retries:
            reason = f"failed {count} of {self.max_retries} attempts, the last with {text}"
        not_before = None if delay is None or reason else writable(at + delay)
        line = self.line_of(row, handler, count, text, bool(reason))
        if reason:
            values = row[0], at, reason, count, at, text
            self.settlement.parked.append(tuple.__new__(Parking, values))
            if self.heard_parked is not None:
                values = row[0], row[len(row) - 2], event_type or head_of(row), reason
                self.heard_parked.append(values)
        else:
            values = row[0], count, at, text, not_before
            self.settlement.retries.append(tuple.__new__(Retry, values))
        self.errors.append(text)
        self.hold(text)
        if is_handlers:
            self.failures_in_row += 1
            if self.most_in_row is not None and self.failures_in_row >= self.most_in_row:
                self.stopped = "failures"
                self.settlement.stopped_at = at
                self.full = True
        return self.note(event_type, "failed", attempt, line)

    cdef int note(self, str event_type, str outcome, attempt, line) except -1:
        self.count(event_type, outcome, 1)
        if attempt is not None:
            self.settlement.history.append(attempt)
            self.hold(attempt[4])
            self.hold(attempt[5])
        if line is not None:
            self.lines.append(line)
        return 0

    cdef object line_of(self, tuple row, str handler, count, str text, bint is_parked):
        """What the log says of a failure, None where nobody listens."""
        level = logging.ERROR if is_parked else logging.WARNING
        if not logger.isEnabledFor(level):
            return None
        values = (
            letter_text(row),
            count,
            self.max_retries,
            f" in {one_line(handler)}" if handler else "",
            ", parked" if is_parked else "",
            one_line(text),
        )
        return level, "%s: attempt %d of %d failed%s%s: %s", values

    cdef int count(self, str event_type, str outcome, number) except -1:
        key = event_type, outcome
        self.attempts[key] = self.attempts.get(key, 0) + number
        return 0

    cdef int hear(
        self, row, str event_type, str outcome, error, retry_count, seconds
    ) except -1:
        if self.heard is not None:
            event_id, told = row[len(row) - 2], event_type or head_of(row)
            self.heard.append((row[0], event_id, told, outcome, error, retry_count, seconds))
        return 0

    cdef int hold(self, str text) except -1:
        self.held += PyUnicode_GET_LENGTH(text)
        if self.held >= MOST_TEXT:
            self.full = True
        return 0


cdef object count_after(row):
    """Its retry count, one attempt spent."""
    return min(row[1] + 1, MOST_RETRIES)


cdef object head_of(row):
    """What its event begins with, as far as a type may be long; None where that is not at hand."""
    event_bytes = row[len(row) - 1]
    return event_bytes[:EVENT_START] if isinstance(event_bytes, (bytes, bytearray)) else None


cdef object asked_delay(error):
    """The microseconds that a handler asked for; None where it did not, or for no duration."""
    # Not of `isinstance`: an error's own `__class__` may raise.
    if not issubclass(type(error), (RetryAfter, Snooze)):
        return None
    try:
        return to_microseconds(error.delay, "delay")
    except Exception:  # of a subclass of the handler's; the letter just fails
        return None
