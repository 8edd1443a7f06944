"""Every PRAGMA of the SQLite store."""

from __future__ import annotations

SCHEMA_VERSION = "PRAGMA main.schema_version"
DATA_VERSION = "PRAGMA main.data_version"
JOURNAL_MODE = "PRAGMA main.journal_mode"
MAKE_WAL = "PRAGMA main.journal_mode = WAL"
DATABASES = "PRAGMA database_list"
BUSY_TIMEOUT = "PRAGMA busy_timeout"
WAL_AUTOCHECKPOINT = "PRAGMA main.wal_autocheckpoint"
PAGE_SIZE = "PRAGMA main.page_size"
PAGE_COUNT = "PRAGMA main.page_count"
CACHE_SIZE = "PRAGMA main.cache_size"
MMAP_SIZE = "PRAGMA main.mmap_size"
CHECKPOINT = "PRAGMA main.wal_checkpoint(PASSIVE)"
BEGIN_LOG_ANEW = "PRAGMA main.wal_checkpoint(RESTART)"
EMPTY_LOG = "PRAGMA main.wal_checkpoint(TRUNCATE)"
JOURNAL_IN_MEMORY = "PRAGMA journal_mode = MEMORY"
QUERY_ONLY = "PRAGMA query_only = ON"
# What `azoth-dlq tune` tries on copies, by name and value.
TRIED = {
    ("journal_mode", "WAL"): MAKE_WAL,
    ("synchronous", "NORMAL"): "PRAGMA main.synchronous = NORMAL",
    ("synchronous", "OFF"): "PRAGMA main.synchronous = OFF",
}


def set_busy_timeout(milliseconds: int) -> str:
    return f"PRAGMA busy_timeout = {int(milliseconds)}"


def set_wal_autocheckpoint(pages: int) -> str:
    return f"PRAGMA main.wal_autocheckpoint = {int(pages)}"


def set_cache_size(pages: int) -> str:
    """Negative: in KiB."""
    return f"PRAGMA main.cache_size = {int(pages)}"


def set_mmap_size(count: int) -> str:
    return f"PRAGMA main.mmap_size = {int(count)}"
