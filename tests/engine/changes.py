"""Ways to change or remove a letter that is planned."""

from __future__ import annotations

from collections.abc import Callable

from tests.conftest import Scene

CHANGES: dict[str, Callable[[Scene, int], object]] = {
    "remove": lambda scene, other: scene.queue.remove(other),
    "discard": lambda scene, other: scene.queue.discard([other]),
    "mark_retry": lambda scene, other: scene.queue.mark_retry(other),
    "DELETE": lambda scene, other: scene.conn.execute(
        "DELETE FROM dead_letter_queue WHERE id = ?", (other,)
    ),
    "UPDATE": lambda scene, other: scene.conn.execute(
        "UPDATE dead_letter_queue SET retry_count = retry_count + 1 WHERE id = ?", (other,)
    ),
}
