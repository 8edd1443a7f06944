"""A process that died in a handler, by what it leaves behind."""

from __future__ import annotations

from azoth_dlq.store.sqlite.marker import IN_HAND, LETTER, Marker
from tests.conftest import Scene


def die_in_the_handler_of(scene: Scene, letter: int) -> None:
    """Leave behind what a process leaves that died with this letter in hand."""
    (identity,) = scene.conn.execute(
        "SELECT value FROM azoth_dlq_state WHERE key = 'identity'"
    ).fetchone()
    marker = Marker(str(scene.path), identity)
    marker.start()
    marker.slots[LETTER] = letter
    marker.slots[IN_HAND] = 1
    marker.close()
