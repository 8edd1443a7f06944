"""Each test of this folder runs over every store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from azoth_dlq.store.base import Store
from tests.conformance.backend import SETTINGS, Backend
from tests.conformance.backends import BACKENDS
from tests.conformance.work import Work


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with closing(BACKENDS[request.param](tmp_path)) as backend:
        yield backend


@pytest.fixture
def store(backend: Backend) -> Iterator[Store]:
    """A store within a drain."""
    with backend.store.draining(SETTINGS):
        yield backend.store


@pytest.fixture
def another(backend: Backend) -> Iterator[Store]:
    """Of another program, within a drain."""
    with backend.another_store() as another, another.draining(SETTINGS):
        yield another


@pytest.fixture
def work(backend: Backend) -> Work:
    return Work(backend)
