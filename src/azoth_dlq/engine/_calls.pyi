from typing import Self, final

from azoth_dlq.engine._group import Group

@final
class CallsOfType:
    def __new__(cls) -> Self: ...

@final
class Calls:
    def __new__(cls, group: Group) -> Self: ...
