"""What every sink promises, of every one that ships."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.delivery.sinks import conformance
from tests.monitor.delivery.sinks.conformance import OtherSide, SinkCase
from tests.monitor.delivery.sinks.sink_cases import SINK_CASES


@pytest.fixture(params=SINK_CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> SinkCase:
    found: SinkCase = request.param
    return found


@pytest.fixture
def other(case: SinkCase, tmp_path: Path) -> Iterator[OtherSide]:
    with case.opened(tmp_path) as opened:
        yield opened


def test_each_alert_arrives(other: OtherSide) -> None:
    """Of every kind, with hostile names too."""
    conformance.check_each_arrives(other)


def test_an_outage_is_a_failure_that_passes(other: OtherSide) -> None:
    """Of the connection, not of the alert."""
    conformance.check_outage(other)


def test_a_try_has_a_limit(case: SinkCase, other: OtherSide) -> None:
    """Who says nothing holds nobody up for ever."""
    if not case.hangs:
        pytest.skip(f"a {case.name} cannot hang")
    conformance.check_silence(other)


def test_a_refused_alert_is_told_from_an_outage(case: SinkCase, other: OtherSide) -> None:
    """So that it does not hold up those after it for ever."""
    if not case.refuses:
        pytest.skip(f"a {case.name} refuses no alert")
    conformance.check_refusal(other)


def test_closing_ends_what_is_under_way(other: OtherSide) -> None:
    """And may be done twice."""
    conformance.check_close(other)


def test_a_name_shows_no_secret(case: SinkCase, other: OtherSide) -> None:
    """It stands in notices and metrics."""
    conformance.check_name(other, case.secret)
