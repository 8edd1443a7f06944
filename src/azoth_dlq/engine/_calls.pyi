from typing import Self, final

from azoth_dlq.engine._group import Group
from azoth_dlq.registration import Registration

@final
class CallsOfType:
    def __new__(cls) -> Self: ...

@final
class Calls:
    def __new__(cls, group: Group) -> Self: ...
    def note(
        self, registration: Registration, seconds: float, letters: int, succeeded: int
    ) -> None: ...
    def tell_group(self) -> None: ...
