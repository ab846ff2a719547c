"""What every live source promises, of every one that ships."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitor.sources import conformance
from tests.monitor.sources.conformance import LiveCase
from tests.monitor.sources.live_cases import LIVE_CASES, SENDERS


@pytest.fixture(params=LIVE_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Iterator[LiveCase]:
    found: LiveCase = request.param
    if found.needs:
        pytest.importorskip(found.needs, reason=f"{found.name} needs {found.needs}")
    with SENDERS:
        yield found


def test_every_sample_comes_once_and_as_it_was_sent(case: LiveCase) -> None:
    """From position 0 on."""
    conformance.check_live_bits(case)


def test_taking_never_waits(case: LiveCase) -> None:
    """Where nothing came, nothing is returned."""
    conformance.check_nothing_waits(case)


def test_behind_a_lost_connection_positions_go_on_by_the_clock(case: LiveCase) -> None:
    """And a person is told."""
    if case.waits:
        pytest.skip(f"a {case.name} has no connection that can be lost")
    conformance.check_lost_and_back(case)


def test_what_nobody_takes_is_bounded(case: LiveCase) -> None:
    """The newest waits, with its positions."""
    if case.waits:
        pytest.skip(f"a {case.name} makes its sender wait")
    conformance.check_late(case)


def test_a_stream_that_ends_is_taken_whole_first(case: LiveCase) -> None:
    """Then it has ended."""
    if not case.ends:
        pytest.skip(f"of {case.name} no sender can say that it ends")
    conformance.check_end(case)
