"""A ward's server, one for each test that names it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitor.ward.servers import WardServer, ward_server


@pytest.fixture
def ward() -> Iterator[WardServer]:
    with ward_server() as server:
        yield server
