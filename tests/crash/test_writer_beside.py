"""A drain beside another program that writes to the same file."""

from __future__ import annotations

import pytest

from tests.attacks import Attack
from tests.crash.processes import DlqFile

LONGEST_WAIT_SECONDS = 2.5


@pytest.mark.parametrize("milliseconds", [1, 300], ids=["short calls", "long calls"])
def test_a_writer_is_never_refused(dlq_file: DlqFile, attack: Attack, milliseconds: int) -> None:
    events = [f"takes:{milliseconds}"] * (attack.size(3, long=30) * 1000 // milliseconds)
    letters = dlq_file.add(*events)
    drain = dlq_file.start("committed")
    drain.wait_for("committed")
    writer = dlq_file.run("writer")
    writer.wait_for("writing")
    dlq_file.let_go("go")
    report = drain.report()
    dlq_file.let_go("enough")
    (wrote,) = writer.last_words()
    waits = sorted(wrote["waits"])
    attack.struck("insertion beside a drain, with a timeout of 5 s", len(waits))
    attack.measured("longest wait of the writer, s", waits[-1])
    attack.measured("99th percentile of the waits of the writer, s", waits[len(waits) * 99 // 100])
    assert waits[-1] < LONGEST_WAIT_SECONDS
    # It wrote during the drain, and what it wrote waits for the next.
    assert len(wrote["ids"]) > 3
    assert report["succeeded"] == len(letters)
    assert dlq_file.effects() == letters
    assert dlq_file.left() == wrote["ids"]
    assert dlq_file.drain()["succeeded"] == len(wrote["ids"])
    dlq_file.assert_whole([*letters, *wrote["ids"]])


def test_letters_that_another_program_changed_since_the_plan_are_skipped(dlq_file: DlqFile) -> None:
    first, retried, postponed, gone, last = dlq_file.add(*["ok:"] * 5)
    program = dlq_file.start("committed", max_transaction_time=0.000001)
    program.wait_for("committed")
    dlq_file.query("UPDATE dead_letter_queue SET retry_count = 1 WHERE id = ?", retried)
    dlq_file.query(
        "UPDATE dead_letter_queue SET last_retry_at = '2020-01-01T00:00:00Z' WHERE id = ?",
        postponed,
    )
    dlq_file.query("DELETE FROM dead_letter_queue WHERE id = ?", gone)
    dlq_file.let_go("go")
    report = program.report()
    assert (report["succeeded"], report["failed"], report["skipped"]) == (2, 0, 3)
    assert dlq_file.effects() == [first, last]
    assert dlq_file.left() == [retried, postponed]


def test_a_change_that_leaves_the_schedule_alone_skips_nothing(dlq_file: DlqFile) -> None:
    letters = dlq_file.add(*["ok:"] * 3)
    program = dlq_file.start("committed", max_transaction_time=0.000001)
    program.wait_for("committed")
    dlq_file.query("UPDATE dead_letter_queue SET error_message = 'seen'")
    dlq_file.let_go("go")
    report = program.report()
    assert (report["succeeded"], report["skipped"]) == (3, 0)
    assert dlq_file.effects() == letters
