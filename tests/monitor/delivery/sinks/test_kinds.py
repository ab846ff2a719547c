"""Sinks by the options that name them, and those of other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from monitor.delivery.sinks import kinds
from monitor.delivery.sinks.kinds import open_foreign, open_routes
from monitor.delivery.sinks.sink import SinkKind, SinkOptions
from monitor.errors import InvalidOption
from monitor.wire.messages import Alert, Technical


class Printer:
    """A sink of another package."""

    def __init__(self, rest: str, options: SinkOptions) -> None:
        self.rest = rest

    def __str__(self) -> str:
        return f"printer {self.rest}"

    def send(self, message: Alert | Technical) -> None:
        return

    def close(self) -> None:
        return


SINK = SinkKind("paper", Printer)
NO_SINK = "paper"


@pytest.fixture
def _others(monkeypatch: pytest.MonkeyPatch) -> None:
    here = "tests.monitor.delivery.sinks.test_kinds"
    values = {"printer": f"{here}:SINK", "none": f"{here}:NO_SINK", "gone": "nowhere:SINK"}
    points = {name: EntryPoint(name, value, kinds.GROUP) for name, value in values.items()}
    monkeypatch.setattr(kinds, "_points", lambda: points)


def test_an_identity_is_the_same_each_time_and_shows_nothing(tmp_path: Path) -> None:
    """A second one of the same text is another; order of other options does not matter."""
    url = "https://host/T0KEN"
    given = {"--on-alert": ["cat"], "--webhook": [url, url, f"{url}2"]}
    routes = open_routes(given, SinkOptions())
    again = open_routes({"--webhook": [url, url]}, SinkOptions())
    assert [one.identity for one in again] == [one.identity for one in routes[1:3]]
    assert len({one.identity for one in routes}) == 4
    assert not [one for one in routes if "T0KEN" in one.identity]


@pytest.mark.usefixtures("_others")
def test_a_sink_of_another_package_is_opened_by_name() -> None:
    """With what stands behind the colon."""
    (route,) = open_routes({"--sink": ["printer:lp0:x"]}, SinkOptions())
    assert str(route.sink) == "printer lp0:x"


@pytest.mark.usefixtures("_others")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("printr:x", r"there are printer \(paper\)"),
        ("none:x", "is no SinkKind"),
        ("gone:x", "cannot be loaded"),
        ("", "sink of no package"),
    ],
)
def test_a_sink_that_cannot_be_opened(text: str, said: str) -> None:
    """Says what there is."""
    with pytest.raises(InvalidOption, match=said):
        open_foreign(text, SinkOptions())


def test_without_other_packages_those_that_ship_are_named() -> None:
    """By their options."""
    with pytest.raises(InvalidOption, match=r"none is installed.*--on-alert, --webhook, --mqtt"):
        open_foreign("kafka:x", SinkOptions())
