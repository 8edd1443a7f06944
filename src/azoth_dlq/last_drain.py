"""The settings of the last drain, as a file keeps them: what is due is told by them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal, NamedTuple

from azoth_dlq.config import DlqReplayConfig
from azoth_dlq.errors import ConfigError

if TYPE_CHECKING:
    from azoth_dlq.store.base import Letters


class LastSettings(NamedTuple):
    """The settings, whether they are of the last drain or the defaults, and, where those of the
    last drain cannot be used, why."""

    config: DlqReplayConfig
    source: Literal["last_drain", "defaults"]
    trouble: str | None = None


def settings_of_last_drain(store: Letters) -> LastSettings:
    """Those that `store` has, else the defaults. Errors: StorageError."""
    recorded = store.figures(0).settings
    if recorded is None:
        return LastSettings(DlqReplayConfig(), "defaults")
    try:
        config = DlqReplayConfig.from_mapping(json.loads(recorded))
    except (ConfigError, ValueError, TypeError, RecursionError) as error:
        return LastSettings(DlqReplayConfig(), "defaults", str(error))
    return LastSettings(config, "last_drain")
