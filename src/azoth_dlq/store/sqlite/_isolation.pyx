"""The isolation of one letter's writes from those of the others in its group.

Compiled, since it runs twice a letter.
"""

import sqlite3

cimport cython
from cpython.ref cimport Py_INCREF

from azoth_dlq.errors import InvalidStateError
from azoth_dlq.store.sqlite import statements as sql

cdef int OK = sqlite3.SQLITE_OK
cdef int DENY = sqlite3.SQLITE_DENY
cdef int INSERT = sqlite3.SQLITE_INSERT
cdef int UPDATE = sqlite3.SQLITE_UPDATE
cdef int DELETE = sqlite3.SQLITE_DELETE
cdef int READ = sqlite3.SQLITE_READ
cdef int SELECT = sqlite3.SQLITE_SELECT
cdef int FUNCTION = sqlite3.SQLITE_FUNCTION
cdef int RECURSIVE = sqlite3.SQLITE_RECURSIVE
cdef int TRANSACTION = sqlite3.SQLITE_TRANSACTION
cdef int SAVEPOINT = sqlite3.SQLITE_SAVEPOINT

cdef int PRAGMA = sqlite3.SQLITE_PRAGMA
cdef int DROP_TABLE = sqlite3.SQLITE_DROP_TABLE
cdef int ALTER_TABLE = sqlite3.SQLITE_ALTER_TABLE

cdef enum:  # places among the marker's int64s
    IN_HAND_SLOT = 6
    LETTER_SLOT = 7
    BATCH_SLOT = 8

# What a handler sets with these outlives its transaction, and shuts the drain or others out.
cdef frozenset REFUSED_PRAGMAS = frozenset([
    "hard_heap_limit",
    "journal_mode",
    "locking_mode",
    "max_page_count",
    "query_only",
    "writable_schema",
])
cdef tuple OUR_TABLES = ("dead_letter_queue", "permanent_failures", "azoth_dlq_")  # or beginnings

cdef str WAY_OUT = (
    "its writes are committed together with the letter, by the drain: leave the transaction alone"
)


cdef bint is_ours(table):
    return table.lower().startswith(OUR_TABLES)


@cython.final
cdef class Guard:
    """Keeps a handler from taking the transaction away that its letter shares with others.

    SQLite asks `authorize` while it prepares a statement. While a handler runs (`active`), every
    statement that would begin or end a transaction or touch our savepoint is refused, also where
    the handler swallows the error: `violation` keeps it. `strict`: something was done that
    `total_changes` does not count, so the savepoint is renewed after every call from then on.
    `wrote`: a handler of this group had a statement prepared that writes.
    `touched_queue`: letters may have been changed on this connection by another than the drain.
    `forked`: this process is a child of the one that drains.
    """

    cdef public bint active, strict, wrote, touched_queue, forked
    cdef public object violation

    def __cinit__(self, *, bint strict):
        self.strict = strict

    def watch(self, connection):
        """A group begins. Set anew, the authorizer is asked again for statements that were prepared
        while nobody was watched."""
        connection.set_authorizer(self.authorize)
        self.wrote = False

    def rest(self):
        """No handler runs."""
        self.active = False

    def abandon(self, connection):
        """In a child of the draining process: let `connection` never be closed, which would take
        back in the file what the parent is about to commit."""
        self.forked = True
        Py_INCREF(connection)

    def refuse(self, str what):
        """Note that the handler tried `what`; the error to raise."""
        self.violation = f"the handler tried to {what}; {WAY_OUT}"
        return InvalidStateError(self.violation)

    def authorize(self, int action, first, second, database, source):
        """The callback of `sqlite3.Connection.set_authorizer`."""
        if not self.active or action in (READ, SELECT, FUNCTION, RECURSIVE):
            return OK
        if action in (INSERT, UPDATE, DELETE):  # a REPLACE is told as an INSERT
            self.wrote = True
            if first == "dead_letter_queue":
                self.touched_queue = True
                if action == UPDATE and str(second).lower() in ("id", "rowid"):
                    # By its id a letter that is done would be taken for another one.
                    self.violation = "the handler tried to change the id of a letter"
                    return DENY
            return OK
        self.strict = True
        if action == DROP_TABLE and database == "main" and is_ours(first):
            self.violation = f"the handler tried to drop {first}, which the drain works on"
            return DENY
        if action == ALTER_TABLE and first == "main" and is_ours(second):
            self.violation = f"the handler tried to alter {second}, which the drain works on"
            return DENY
        if action == PRAGMA and second is not None and str(first).lower() in REFUSED_PRAGMAS:
            self.refuse(f"set PRAGMA {first}")
            return DENY
        if action == TRANSACTION:
            self.refuse(f"begin or end a transaction ({first})")
            return DENY
        if action == SAVEPOINT and str(second).lower() == sql.LETTER:
            self.refuse(f"use the drain's savepoint ({first} {second})")
            return DENY
        return OK


@cython.final
cdef class Isolation:
    """One savepoint, kept open over the letters of a group and renewed once something was written.

    `slots` is the marker's memory, `lost(message)` makes the error for a transaction that is gone,
    `left_open()` the one for a statement that keeps the savepoint from being released.
    """

    cdef object _connection, _execute, _changes, _lost, _left_open
    cdef str _savepoint, _release
    cdef bint _in_hand
    cdef long long _letter
    cdef long long[::1] _slots
    cdef readonly Guard guard

    def __cinit__(
        self, connection, cursor, Guard guard not None, long long[::1] slots not None, *, lost,
        left_open,
    ):
        if slots.shape[0] <= BATCH_SLOT:
            raise ValueError(f"{slots.shape[0]} slots; a batch needs more than {BATCH_SLOT}")
        self._connection = connection
        self._execute = cursor.execute
        self.guard = guard
        self._slots = slots
        self._savepoint = sql.SAVEPOINT_LETTER
        self._release = sql.RELEASE_LETTER
        self._lost = lost
        self._left_open = left_open
        self._changes = None

    def open(self):
        """Open the savepoint, at the start of a group."""
        self._execute(self._savepoint)
        self._in_hand = False
        self._changes = self._connection.total_changes

    def isolate(self, long long letter_id):
        """What is written from here on belongs to this letter."""
        cdef Guard guard = self.guard
        guard.active = False
        if guard.strict or self._connection.total_changes != self._changes:
            self.release()
            self.open()
        self._letter = letter_id
        self._in_hand = True
        self._slots[LETTER_SLOT] = letter_id
        self._slots[IN_HAND_SLOT] = 1
        guard.violation = None
        guard.active = True

    def join(self, long long letter_id):
        """The letter is in hand in a batch, with those that joined since `isolate` (the isolated
        one first); False where there is no room for more."""
        cdef Py_ssize_t joined = max(-self._slots[IN_HAND_SLOT], 0)
        if BATCH_SLOT + joined == self._slots.shape[0]:
            return False
        self._slots[BATCH_SLOT + joined] = letter_id
        self._letter = self._slots[LETTER_SLOT] = letter_id
        self._slots[IN_HAND_SLOT] = -(joined + 1)
        return True

    def release(self):
        """Release the savepoint. Errors: TransactionLost."""
        try:
            self._execute(self._release)
        except sqlite3.Error as error:
            # Busy: a statement that writes is open. Else the savepoint is gone, and with it the
            # transaction that it was opened in; or an authorizer of a handler's refuses ours.
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise self._left_open() from error
            raise self._lost("the handler's call ended the transaction") from error

    def holds(self, unless):
        """Whether a letter, other than `unless`, has writes here that may be taken back."""
        return self._in_hand and self._letter != unless

    def is_untouched(self):
        """Whether there is nothing to take back: no handler of the group could have written."""
        cdef Guard guard = self.guard
        if guard.wrote or guard.strict:
            return False
        return self._connection.total_changes == self._changes

    @property
    def letter(self):
        """The letter in hand, or the last one."""
        return self._letter

    def leave(self):
        """The handler's call is over: whether it changed letters that may have been fetched. A
        death from here on is nobody's.

        Errors: TransactionLost, InvalidStateError (see `Store.keep`).
        """
        cdef Guard guard = self.guard
        guard.active = False
        if guard.forked or not self._connection.in_transaction:
            raise self._lost("the handler's call ended the transaction")
        if guard.violation is not None:
            raise InvalidStateError(guard.violation)
        self._slots[IN_HAND_SLOT] = 0
        return guard.touched_queue and self._connection.total_changes != self._changes

    def undone(self):
        """Everything since the savepoint was taken back."""
        self._in_hand = False
        self._slots[IN_HAND_SLOT] = 0
        self._changes = self._connection.total_changes
