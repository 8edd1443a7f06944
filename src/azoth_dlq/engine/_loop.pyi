from typing import Any, Self, final

from azoth_dlq.engine.group import Group
from azoth_dlq.engine.stop import Stop
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import Store

@final
class Resolver:
    def __new__(cls, registry: EventHandlerRegistry) -> Self: ...

def attempt(
    rows: list[tuple[Any, ...]],
    group: Group,
    store: Store,
    registry: EventHandlerRegistry,
    stop: Stop,
    *,
    ends_at: float,
    ack_seconds: float,
    most: int,
    most_failures_in_row: int | None,
) -> int: ...
