"""`status` for monitors: exit codes, the text format of Prometheus, and failures over time."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import Workplace, error_line


def exit_code(workplace: Workplace, *arguments: str) -> int:
    return workplace.run("status", "projection.db", "--exit-code", *arguments).returncode


def samples(done: subprocess.CompletedProcess[str]) -> dict[tuple[str, ...], float]:
    """Each value by the name of its metric and the values of its labels."""
    found = {}
    for family in text_string_to_metric_families(done.stdout):
        assert family.documentation
        assert family.type == "gauge"
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def test_the_exit_code_tells_what_there_is_to_do(workplace: Workplace) -> None:
    workplace.make()
    assert exit_code(workplace) == 0
    workplace.make("ok", last_retry_at="8000-01-01T00:00:00Z")
    assert exit_code(workplace) == 0  # it is not due
    workplace.make("ok", "ok")
    assert exit_code(workplace) == 3
    assert exit_code(workplace, "--json") == 3
    workplace.park()
    assert exit_code(workplace) == 4
    assert workplace.run("status", "projection.db").returncode == 0


@pytest.mark.parametrize(
    ("bounds", "code"),
    [
        (("--due-above", "1"), 4),
        (("--parked-above", "1"), 3),
        (("--parked-above", "1", "--due-above", "1"), 3),
        (("--parked-above", "1", "--due-above", "2"), 0),
        (("--parked-above", "1", "--oldest-due-above", "1d"), 3),
        (("--parked-above", "1", "--oldest-due-above", "9999d"), 0),
        (("--oldest-due-above", "9999d"), 4),
    ],
)
def test_bounds_say_what_is_no_alarm(
    workplace: Workplace, bounds: tuple[str, ...], code: int
) -> None:
    workplace.make("ok", "ok")
    workplace.park()
    assert exit_code(workplace, *bounds) == code


def test_errors_are_told_from_alarms(workplace: Workplace) -> None:
    error_line(workplace.run("status", "nowhere.db", "--exit-code"), 1)
    for bound in ("--due-above", "--parked-above"):
        assert "--exit-code" in error_line(workplace.run("status", "x.db", bound, "3"), 2)
        assert bound in error_line(workplace.run("status", "x.db", "--exit-code", bound, "-1"), 2)
    line = error_line(
        workplace.run("status", "x.db", "--exit-code", "--oldest-due-above", "500ms"), 2
    )
    assert "15m, 2h, 3d, 1h30m" in line


def test_prometheus_reads_the_figures(workplace: Workplace) -> None:
    workplace.make("ok", "ok", "mail", "no type: x")
    workplace.make("ok", retry_count=2, last_retry_at="8000-01-01T00:00:00Z")
    workplace.park()
    found = samples(workplace.run("status", "projection.db", "--prometheus"))
    file = "projection.db"
    assert found["azoth_dlq_dead_letters", file] == 5
    assert found["azoth_dlq_due_letters", file] == 4
    assert found["azoth_dlq_not_due_letters", file] == 1
    assert found["azoth_dlq_permanent_failures", file] == 1
    assert found["azoth_dlq_stopped", file] == 0
    assert found["azoth_dlq_oldest_due_age_seconds", file] > 10**8
    types = {key[2]: v for key, v in found.items() if key[0].endswith("by_type")}
    assert types == {"ok": 3, "mail": 1, "other": 1}
    counts = {key[2]: v for key, v in found.items() if key[0].endswith("by_retry_count")}
    assert counts == {"0": 4, "2": 1, "other": 0}


def test_labels_are_escaped_and_few(workplace: Workplace) -> None:
    workplace.make(*(f"type{n}" for n in range(40)))
    for count in range(40):
        workplace.add(retry_count=count)
    name = 'a"b\\c.db'
    workplace.database.rename(workplace.folder / name)
    found = samples(workplace.run("status", name, "--prometheus"))
    assert found["azoth_dlq_dead_letters", name] == 80
    types = [key for key in found if key[0].endswith("by_type")]
    counts = [key for key in found if key[0].endswith("by_retry_count")]
    assert (len(types), len(counts)) == (11, 21)
    assert sum(found[key] for key in types) == sum(found[key] for key in counts) == 80


def test_prometheus_and_json_are_two_documents(workplace: Workplace) -> None:
    line = error_line(workplace.run("status", "x.db", "--prometheus", "--json"), 2)
    assert "--prometheus and --json cannot go together" in line


def test_the_types_of_both_kinds_are_counted_and_payload_is_none(workplace: Workplace) -> None:
    workplace.make("ok", "ok", "mail", "4111 1111: a card", "x" * 65)
    workplace.park(event_bytes=b"mail:x")
    workplace.park(event_bytes=b"mail:y")
    done = workplace.run("status", "projection.db", "--json")
    document = json.loads(done.stdout)
    assert document["by_type"] == [
        {"event_type": "ok", "letters": 2},
        {"event_type": "mail", "letters": 1},
    ]
    assert document["parked_by_type"] == [{"event_type": "mail", "letters": 2}]
    assert document["parked_by_reason"] == [{"reason": "poison", "letters": 2}]
    told = workplace.run("status", "projection.db").stdout
    assert "4111" not in told
    assert "parked, by reason\n        2   poison\n" in told


def test_failures_are_shown_over_time(workplace: Workplace) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ages = [1, 1, 1, 2, 10, 11, 400]
    for days in ages:
        workplace.make("ok", failed_at=f"{midnight - timedelta(days=days):%Y-%m-%d %H:%M:%S}")
    workplace.park(failed_at=f"{midnight - timedelta(days=1):%Y-%m-%d %H:%M:%S}")
    told = workplace.run("status", "projection.db", "--over", "12d").stdout
    assert "a bar is 1 d; 1 failed before or after\n" in told
    [dead] = [line for line in told.splitlines() if line.startswith("  dead letters        |")]
    assert dead.split("|")[1] == " ▃▃" + " " * 7 + "▃█ "
    assert dead.endswith("|  6, at most 3 a bar")
    workplace.environment["PYTHONIOENCODING"] = "ascii"
    told = workplace.run("status", "projection.db", "--over", "12d").stdout
    [dead] = [line for line in told.splitlines() if line.startswith("  dead letters        |")]
    assert dead.split("|")[1] == " --" + " " * 7 + "-@ "
    document = json.loads(workplace.run("status", "projection.db", "--json").stdout)
    buckets = document["failures"]["buckets"]
    assert sum(bucket["dead_letters"] for bucket in buckets) == len(ages)
    assert [b["to"] for b in buckets[:-1]] == [b["from"] for b in buckets[1:]]


def test_only_settings_that_decide_what_is_due_are_options(workplace: Workplace) -> None:
    told = workplace.run("status", "--help").stdout.split("\nSettings:\n")[1]
    for option in ("--config", "--max-retries", "--backoff", "--min-age", "--jitter"):
        assert f"  {option} " in told
    assert "--batch-size" not in told
    assert "--timeout" not in told
