"""What is done with the letters of a queue on purpose: looking, grouping, editing, moving."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from azoth_dlq import clock
from azoth_dlq.arguments import checked_bytes, checked_id, checked_limit, checked_parked
from azoth_dlq.errors import not_allowed

if TYPE_CHECKING:
    from array import array

    from azoth_dlq.acting import Act, Purged
    from azoth_dlq.config import DlqReplayConfig
    from azoth_dlq.durations import Duration
    from azoth_dlq.filters import LetterFilter
    from azoth_dlq.groups import LetterGroup
    from azoth_dlq.store.sqlite import SqliteStore
    from azoth_dlq.types import AttemptRecord, AuditRecord, FailedEvent, PermanentFailure


class OnCall:
    """Verbs about dead letters and, by their own ids, permanent failures. What changes letters is
    recorded with who did it (`by`; None: the login name), in the transaction that does it."""

    _store: SqliteStore

    def find(self, wanted: LetterFilter, *, config: DlqReplayConfig | None = None) -> array[int]:
        """The ids (int64, ascending) of the letters that fit now: of the dead letters, or with
        `LetterFilter(parked=True)` of the permanent failures. What is due is told by `config`
        (None: by the settings of the last drain)."""
        from azoth_dlq import acting  # noqa: PLC0415 -- who only adds letters needs nothing of it
        from azoth_dlq.filters import LetterFilter  # noqa: PLC0415 -- as above

        if not isinstance(wanted, LetterFilter):
            raise not_allowed("wanted", wanted, "a LetterFilter")
        return acting.find(self._store, wanted, clock.now(), config)

    def groups(
        self, limit: int = 20, *, which: LetterFilter | None = None, parked: bool = False
    ) -> list[LetterGroup]:
        """Dead letters, or (`parked`) permanent failures, grouped by what went wrong, all of them
        or `which`; at most `limit` groups, most letters first, ties by fingerprint. Where there are
        more than 10,000 groups, the letters of the smallest are in none: what shares lack is
        theirs."""
        from azoth_dlq import acting  # noqa: PLC0415 -- few programs group letters
        from azoth_dlq.groups import group_letters  # noqa: PLC0415 -- as above

        most, is_parked, ids = checked_limit(limit), checked_parked(parked), None
        if which is not None:
            ids = self.find(acting.wanted_of(which, parked=is_parked))
        return group_letters(self._store, ids, limit=most, parked=is_parked).groups

    def history(self, letter_id: int, *, parked: bool = False) -> list[AttemptRecord]:
        """What is kept of the attempts of a dead letter, or (`parked`) of a permanent failure by
        its own id, and of changes of its payload, oldest first."""
        return self._store.history(checked_id(letter_id), parked=checked_parked(parked))

    def show(
        self,
        letter_id: int,
        *,
        parked: bool = False,
        redact: Callable[[str], str] | None = None,
    ) -> dict[str, Any] | None:
        """A letter ready for JSON, with its history and payload, as `azoth-dlq show --json` prints
        it; None where there is none. When it is attempted next is told by the settings of the last
        drain. `redact` gets the payload, each error and each traceback as a
        text, and returns it without what must not be seen."""
        from azoth_dlq import shown  # noqa: PLC0415 -- who only adds letters needs nothing of it
        from azoth_dlq.last_drain import settings_of_last_drain  # noqa: PLC0415 -- as above

        redacting = shown.checked_redact(redact)
        letter = self._letter(checked_id(letter_id), parked=checked_parked(parked))
        if letter is None:
            return None
        history = self._store.history(letter_id, parked=parked)
        rules = settings_of_last_drain(self._store).config.rules(clock.now())
        return shown.whole_letter_as_dict(letter, history, rules, redacting)

    def original(self, letter_id: int, *, parked: bool = False) -> bytes | None:
        """The bytes of a letter before it was edited first; None where it never was."""
        return self._store.original(checked_id(letter_id), parked=checked_parked(parked))

    def edit(
        self, letter_id: int, event_bytes: bytes, *, parked: bool = False, by: str | None = None
    ) -> bool:
        """Give a letter other bytes; whether there is such a letter. Those of before the first edit
        stay for as long as the letter: `put_back` gives them back. `by` is who does it (None: the
        login name). Errors: InvalidStateError where a handler has the letter in hand."""
        payload = checked_bytes(event_bytes)

        def change(act: Act) -> int:
            return self._store.edit(letter_id, payload, act.at, act.who, parked=parked)

        return self._act("edit", [checked_id(letter_id)], change, parked=parked, by=by) == 1

    def put_back(self, letter_id: int, *, parked: bool = False, by: str | None = None) -> bool:
        """Give a letter that was edited its first bytes again; whether there is such a letter.
        Errors and `by` as of `edit`."""

        def change(act: Act) -> int:
            return self._store.put_back(letter_id, act.at, act.who, parked=parked)

        return self._act("put back", [checked_id(letter_id)], change, parked=parked, by=by) == 1

    def discard(
        self, which: Iterable[int] | LetterFilter, *, parked: bool = False, by: str | None = None
    ) -> int:
        """Delete dead letters, or (`parked`) permanent failures, on purpose: those of these ids, or
        those that fit; how many. What a handler has in hand stays. `by` as of `edit`. An empty
        filter is refused: `clear` deletes all."""

        def change(act: Act) -> int:
            return self._discard(act.ids(), parked=parked)

        return self._act("discard", _given(which), change, parked=parked, by=by)

    def audit(self, limit: int = 100) -> list[AuditRecord]:
        """What was done on purpose, by whom and to which letters, the newest first."""
        return self._store.actions(checked_limit(limit))

    def requeue(self, which: Iterable[int] | LetterFilter, *, by: str | None = None) -> int:
        """Move permanent failures (those of these ids, of their own, or those that fit) back among
        the dead letters, to be attempted afresh, each with its old id where that is free; how many
        there were. `by` as of `edit`. An empty filter is refused."""

        def change(act: Act) -> int:
            return self._store.requeue(act.ids(), act.at)

        return self._act("requeue", _given(which), change, parked=True, by=by)

    def purge(self, older_than: Duration, *, by: str | None = None) -> Purged:
        """Delete permanent failures that were parked so long ago (a timedelta or seconds), and what
        is kept of attempts of so long ago, a bounded number in each transaction; how many of
        each. `by` as of `edit`."""
        from azoth_dlq.acting import Purge  # noqa: PLC0415 -- who only adds letters needs none

        purge = Purge(self._store, older_than, by)
        while purge.step():
            pass
        return purge.purged

    def _discard(self, ids: Sequence[int] | None, *, parked: bool = False) -> int:
        from azoth_dlq.acting import discard  # noqa: PLC0415 -- who only adds letters needs none

        return discard(self._store, ids, parked=parked)

    def _letter(self, letter_id: int, *, parked: bool) -> FailedEvent | PermanentFailure | None:
        found: Sequence[FailedEvent | PermanentFailure] = (
            self._store.read(parked=True, ids=[letter_id])
            if parked
            else self._store.read(ids=[letter_id])
        )
        return found[0] if found else None

    def _act(
        self,
        action: str,
        which: Iterable[int] | LetterFilter | None,
        change: Callable[[Act], int],
        *,
        parked: bool,
        by: str | None = None,
    ) -> int:
        """Change letters (None: all) in one transaction, and record it; how many."""
        from azoth_dlq.acting import Act, wanted_of  # noqa: PLC0415 -- as above
        from azoth_dlq.filters import LetterFilter  # noqa: PLC0415 -- as above

        if isinstance(which, LetterFilter) and which.is_empty:
            allowed = "a filter that narrows; `clear` and `clear_permanent_failures` delete all"
            raise not_allowed("which", which, allowed)
        wanted = wanted_of(
            LetterFilter() if which is None else which, parked=checked_parked(parked)
        )
        act = Act(self._store, action, wanted, by)
        with self._store.together():
            done = change(act)
            if done:
                act.write(done)
        return done

    def clear(self) -> int:
        """Delete every dead letter but those that a handler has in hand; how many there were."""

        def change(_act: Act) -> int:
            return self._discard(None)

        return self._act("discard", None, change, parked=False)

    def clear_permanent_failures(self) -> int:
        """Delete every permanent failure; how many there were."""

        def change(_act: Act) -> int:
            return self._discard(None, parked=True)

        return self._act("discard", None, change, parked=True)


def _given(which: Iterable[int] | LetterFilter) -> Iterable[int] | LetterFilter:
    """Errors: ConfigError where nothing says which letters."""
    if which is None:
        raise not_allowed("ids", which, "a collection of ids, or a LetterFilter")
    return which
