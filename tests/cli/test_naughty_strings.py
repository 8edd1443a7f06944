"""Strings that break programs, as payload, error and type, through every command."""

from __future__ import annotations

import json
import unicodedata
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq import DeadLetterQueue
from tests.cli.conftest import Workplace

VECTORS = Path(__file__).parents[1] / "vectors" / "naughty_strings.json"
STRINGS: list[str] = json.loads(VECTORS.read_text("utf-8"))
# What a terminal obeys, or shows as nothing at all.
OBEYED = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
PARK = (
    "INSERT INTO permanent_failures (event_id, event_bytes, error_message, failed_at, retry_count, "
    "azoth_reason) SELECT event_id, event_bytes, error_message, failed_at, 5, error_message "
    "FROM dead_letter_queue"
)
LOOKS = [
    ["status"],
    ["groups", "--limit", "1000"],
    ["groups", "--parked"],
    ["list", "--limit", "1000"],
    ["list", "--parked", "--limit", "1000"],
    ["show", "1-100000", "--limit", "1000"],
    ["show", "1-100000", "--parked", "--limit", "1000", "--redact", "a+"],
    ["audit"],
]


@pytest.fixture(scope="module")
def naughty(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A letter of each string, dead and parked, attempted once by a handler that fails with it."""
    workplace = Workplace(tmp_path_factory.mktemp("naughty"))
    workplace.environment["TZ"] = "UTC"
    workplace.add_handler(
        "class Fails(dict):\n    pass\n"
        "def route(event):\n    return 'any', event\n"
        "anything = EventHandlerRegistry(route=route)\n"
        "@anything.handler('any')\n"
        "def any_(conn, event_id, payload):\n    raise ValueError(payload.decode('utf-8'))\n"
    )
    with closing(DeadLetterQueue.open(workplace.database)) as queue:
        for n, text in enumerate(STRINGS):
            stored = text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
            queue.add(n, f"{stored}:{stored}".encode(), stored)
            queue.add(n, stored.encode(), ValueError(text))
        queue.connection.execute(PARK)
    done = workplace.run(
        "drain", "projection.db", "--handlers", "handlers:anything", "--now", "--json",
        "--stop-on-consecutive-failures", "never", "--as", "Zoë", "--type", "ok",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    done = workplace.run(
        "drain", "projection.db", "--handlers", "handlers:anything", "--now", "--json",
        "--stop-on-consecutive-failures", "never",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["failed"] == 2 * len(STRINGS)
    return workplace


def obeyed(text: str) -> set[str]:
    return {c for c in text if unicodedata.category(c) in OBEYED} - {"\n", "\t"}


@pytest.mark.parametrize("arguments", LOOKS, ids=" ".join)
def test_nothing_is_obeyed_and_nothing_breaks(naughty: Workplace, arguments: list[str]) -> None:
    command, *options = arguments
    done = naughty.run(command, "projection.db", *options)
    assert (done.returncode, done.stderr) == (0, "")
    assert obeyed(done.stdout) == set()
    document = json.loads(naughty.run(command, "projection.db", *options, "--json").stdout)
    assert document["database"] == "projection.db"


def test_each_error_and_type_finds_its_letter(naughty: Workplace) -> None:
    for text in STRINGS[::20]:
        if not text or "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
            continue  # no argument can hold it
        done = naughty.run("list", "projection.db", "--json", f"--error={text}", "--limit", "9")
        assert done.returncode == 0, (text, done.stderr)
        assert json.loads(done.stdout)["total"] >= 2, text
        if ":" not in text:
            done = naughty.run("list", "projection.db", "--json", f"--type={text}")
            assert json.loads(done.stdout)["total"] >= 1, text


def test_they_travel_from_file_to_file(naughty: Workplace) -> None:
    for name in ("all.jsonl", "all.jsonl.gz"):
        done = naughty.run("export", "projection.db", "--output", name)
        assert done.returncode == 0, done.stderr
        done = naughty.run("import", f"{name}.db", name, "--create", "--json")
        assert json.loads(done.stdout)["dead_letters"] == 2 * len(STRINGS)
        assert obeyed(naughty.run("list", f"{name}.db").stdout) == set()
    done = naughty.run("export", "projection.db", "--format", "csv", "--output", "all.csv")
    assert done.returncode == 0, done.stderr


def test_they_are_requeued_edited_and_discarded(naughty: Workplace) -> None:
    (naughty.folder / "new.txt").write_text("\n".join(STRINGS[:5]), "utf-8", "replace")
    done = naughty.run("edit", "projection.db", "1", "--file", "new.txt")
    assert done.returncode == 0, done.stderr
    done = naughty.run("requeue", "projection.db", "--all", "--yes")
    assert done.returncode == 0, done.stderr
    assert obeyed(done.stdout + done.stderr) == set()
    done = naughty.run("discard", "projection.db", "--all", "--yes", "--export", "gone.jsonl")
    assert done.returncode == 0, done.stderr
    assert obeyed(done.stdout + done.stderr) == set()
    assert naughty.count("dead_letter_queue") == 0
