"""Letters that are too large for people: looking at them stays quick, short and small."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from azoth_dlq import cli
from azoth_dlq.cli import listing
from azoth_dlq.engine.failure import one_line
from tests.attacks import Attack
from tests.cli.conftest import Workplace

MANY_LINES = "line\n" * 1_000_000
ONE_LINE = "x" * 5_000_000


@pytest.mark.parametrize("text", [MANY_LINES, ONE_LINE], ids=["many lines", "one line"])
def test_a_letter_with_a_huge_error_floods_no_terminal(
    workplace: Workplace, text: str, attack: Attack
) -> None:
    workplace.make("ok", error_message=text)
    workplace.make("ok", error_message="boom", failed_at=text)
    for command, most in (("list",), 4_000), (("status",), 4_000), (("show", "1"), 3_000_000):
        done = workplace.run(command[0], "projection.db", *command[1:])
        assert done.returncode == 0
        assert len(done.stdout) < most
    assert "(cut: 5,000,000 characters; --json has all of them)" in done.stdout
    shown = json.loads(workplace.run("show", "projection.db", "1", "--json").stdout)
    assert shown["error_message"] == text
    assert workplace.report("--now")["unreadable"] == 1
    attack.struck("letter with a huge text looked at", 4)


def test_a_list_holds_one_payload_at_a_time(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], attack: Attack
) -> None:
    size, letters = 2_000_000, 20
    workplace.make(*[f"ok:{'x' * size}"] * letters)
    cli.main(["list", str(workplace.database), "--limit", "1"])
    tracemalloc.start()
    try:
        assert cli.main(["list", str(workplace.database)]) == 0
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert capsys.readouterr().out.count("boom") == letters + 1
    assert peak < 5 * size
    attack.struck("letter with a huge payload looked at", letters)


def test_a_list_escapes_no_more_of_a_huge_time_than_it_shows(
    workplace: Workplace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    workplace.make("ok", failed_at=MANY_LINES)
    escaped: list[int] = []

    def counted(text: str) -> str:
        escaped.append(len(text))
        return one_line(text)

    monkeypatch.setattr(listing, "one_line", counted)
    assert cli.main(["list", str(workplace.database)]) == 0
    assert r"line\x0aline" in capsys.readouterr().out
    assert max(escaped) < 100


def test_the_reason_that_a_huge_row_is_parked_for_is_short(workplace: Workplace) -> None:
    for value in (ONE_LINE, ONE_LINE.encode()):
        workplace.make("ok", failed_at=value)
        workplace.make("ok", last_retry_at=value)
    assert workplace.report("--now")["unreadable"] == 4
    for (reason,) in workplace.execute("SELECT azoth_reason FROM permanent_failures"):
        assert len(reason) < 200
        assert reason.endswith("xxx…")
