from typing import Self, final

from azoth_dlq.registry import EventHandlerRegistry

@final
class Resolver:
    def __new__(cls, registry: EventHandlerRegistry) -> Self: ...
