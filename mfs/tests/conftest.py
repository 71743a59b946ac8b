"""Fixtures of the tests that mount."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mfs.tests.mounting import Mount, mounted


@pytest.fixture
def mfs_mount() -> Iterator[Mount]:
    """A new repository, mounted; the test fails when its server logs a warning or an error."""
    with mounted() as mount:
        yield mount
