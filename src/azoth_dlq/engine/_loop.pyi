from typing import Any, Self, final

from azoth_dlq.engine._group import Group
from azoth_dlq.engine._resolver import Resolver
from azoth_dlq.engine.letters import Limits
from azoth_dlq.engine.stop import Stop
from azoth_dlq.registry import EventHandlerRegistry
from azoth_dlq.store.base import Store

@final
class Batch:
    def __new__(
        cls,
        rows: list[tuple[Any, ...]],
        store: Store,
        resolver: Resolver,
        limits: Limits,
        most: int,
    ) -> Self: ...

@final
class Attempts:
    def __new__(
        cls,
        rows: list[tuple[Any, ...]],
        group: Group,
        store: Store,
        registry: EventHandlerRegistry,
        limits: Limits,
        current: list[int | None],
    ) -> Self: ...

def attempt(
    rows: list[tuple[Any, ...]],
    group: Group,
    store: Store,
    registry: EventHandlerRegistry,
    stop: Stop,
    limits: Limits,
    current: list[int | None],
) -> int: ...
