"""What every sink must do; `test_conformance.py` holds all that ship to it.

A package of your own that adds a sink can do the same: write a `SinkCase` for it and call the
functions here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from monitor.delivery.sinks.sink import DeliveryFailed, Rejected, Sink
from monitor.wire.messages import Alert, Technical
from tests.messages import alarm, alert, technical

LIMIT_S = 1.0  # that a case gives its sink for one try
HOSTILE = "bed 7/#+ \"'{}$id ${seq} <!channel> \N{SNOWMAN}\u202e%n"


class OtherSide(Protocol):
    """What a sink hands alerts on to, and how it is made to fail."""

    sink: Sink

    def received(self) -> list[str]:
        """Return what has arrived so far, an alert each, in order."""
        ...

    def go(self) -> None:
        """Be unreachable, busy or full, from now on."""
        ...

    def come_back(self) -> None:
        """Take alerts again."""
        ...

    def hang(self) -> None:
        """Take what is sent and never say so."""
        ...

    def refuse(self) -> None:
        """Refuse the alert as one that will never do."""
        ...


@dataclass(frozen=True)
class SinkCase:
    """One kind of sink.

    Attributes
    ----------
    opened : callable
        Makes the other side and the sink, with tries of LIMIT_S, in a folder.
    secret : str
        What stands in the sink's address and may not be shown; or empty.
    """

    name: str
    opened: Callable[[Path], AbstractContextManager[OtherSide]]
    hangs: bool = True
    refuses: bool = True
    secret: str = ""


def every_message() -> list[Alert | Technical]:
    """Return a message of each kind that a sink is given."""
    return [
        alert(id="onset"),
        alert(id="learnt", family=3, score=1.5, leads=["MLII", "V5"], why=["shape", "premature"]),
        alert(id="over", state="cleared", beat=[], reconstruction=[], delay_ms=None),
        alert(id="seen", state="acknowledged"),
        alert(id="marked", state="marked", family=3, word="normal", by="a nurse"),
        alarm(id="alarm"),
        alarm(id="alarm-over", state="cleared"),
        technical(id="noise"),
        technical(id="silence", event="no_verdict", state="cleared", text="", seq=0, journal=""),
        alert(id="hostile", patient=HOSTILE, record=HOSTILE),
    ]


def check_each_arrives(other: OtherSide) -> None:
    """Once each, in order, whatever kind it is and whatever it holds."""
    sent = every_message()
    for message in sent:
        other.sink.send(message)
    arrived = other.received()
    assert len(arrived) == len(sent)
    assert "119" in arrived[0]
    assert "bed 7" in arrived[-1]


def check_outage(other: OtherSide) -> None:
    """It fails within its time, without losing the will to live, and takes the same alert later."""
    other.sink.send(alert(id="before"))
    other.go()
    for _ in range(2):
        with pytest.raises(DeliveryFailed) as caught:
            other.sink.send(alert(id="meanwhile"))
        assert not isinstance(caught.value, Rejected)
        assert str(caught.value)
    other.come_back()
    other.sink.send(alert(id="meanwhile"))
    assert len(other.received()) >= 1


def check_silence(other: OtherSide) -> None:
    """Who never answers is given up after the limit."""
    other.hang()
    began_s = time.monotonic()
    with pytest.raises(DeliveryFailed):
        other.sink.send(alert())
    assert time.monotonic() - began_s < 10 * LIMIT_S


def check_refusal(other: OtherSide) -> None:
    """An alert that the other side refuses for what it is is told from an outage."""
    other.refuse()
    with pytest.raises(Rejected):
        other.sink.send(alert())


def check_close(other: OtherSide) -> None:
    """Twice is as good as once, and ends a try that another thread waits for."""
    other.sink.send(alert())
    other.hang()
    failed: list[bool] = []

    def sends() -> None:
        try:
            other.sink.send(alert())
        except DeliveryFailed:
            failed.append(True)

    thread = threading.Thread(target=sends)
    thread.start()
    other.sink.close()
    other.sink.close()
    thread.join(10 * LIMIT_S)
    assert not thread.is_alive()


def check_name(other: OtherSide, secret: str) -> None:
    """It has a name of one line, without what nobody should see."""
    name = str(other.sink)
    assert name
    assert name.isprintable()
    assert not secret or secret not in name
