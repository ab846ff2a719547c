"""Alerts are handed on in order, again and again until taken; what fails is counted and told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from monitor.delivery import delivery as delivery_file
from monitor.delivery.backlog import MemoryBacklog
from monitor.delivery.delivery import TRIES, Delivery, SinkCounts, pause_s
from monitor.delivery.inbox import Inbox
from monitor.delivery.metrics import BY_NAME
from monitor.delivery.sinks.sink import DeliveryFailed, Rejected, Route
from monitor.wire.messages import Alert, Message, Technical
from tests.messages import alert, beat_scored, technical


class Pager:
    """Takes alerts, or fails as `outcome` says; by default it takes all."""

    def __init__(
        self, name: str = "pager", outcome: Callable[[str, int], Exception | None] | None = None
    ) -> None:
        self._name, self._outcome = name, outcome
        self.taken: list[str] = []
        self.tries: list[str] = []
        self.closed = False

    def __str__(self) -> str:
        return self._name

    def send(self, message: Alert | Technical) -> None:
        self.tries.append(message.id)
        error = self._outcome and self._outcome(message.id, self.tries.count(message.id))
        if error:
            raise error
        self.taken.append(message.id)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses take no time worth waiting for."""
    monkeypatch.setattr(delivery_file, "FIRST_PAUSE_S", 0.002)
    monkeypatch.setattr(delivery_file, "LONGEST_PAUSE_S", 0.01)
    monkeypatch.setattr(delivery_file, "REFUSED_PAUSE_S", 0.002)
    monkeypatch.setattr(delivery_file, "DRAIN_S", 0.5)


@contextmanager
def delivering(
    *pagers: Pager,
    told: list[str] | None = None,
    inbox: Inbox | None = None,
    wants: Callable[[Message], bool] = lambda message: True,
) -> Iterator[Delivery]:
    routes = [Route(str(pager), pager) for pager in pagers]
    told = [] if told is None else told
    delivery = Delivery(routes, told.append, inbox, wants)
    try:
        yield delivery
    finally:
        delivery.close()


def drained(delivery: Delivery) -> None:
    delivery.look()
    delivery.drain(lambda: False)


def keep(inbox: Inbox, *numbers: int) -> None:
    for number in numbers:
        inbox.keep(alert(seq=number, id=str(number)))


def counts(delivery: Delivery, name: str = "pager") -> SinkCounts:
    return delivery.counts[name]


def test_alerts_are_handed_on_in_order() -> None:
    """To each sink; messages that are no alerts are not."""
    pagers = Pager("a"), Pager("b")
    with delivering(*pagers) as delivery:
        for message in (alert(id="1"), beat_scored(), technical(id="2")):
            delivery.take(message)
        drained(delivery)
    assert [pager.taken for pager in pagers] == [["1", "2"]] * 2
    assert all(pager.closed for pager in pagers)


def test_what_fails_is_tried_until_it_is_taken() -> None:
    """In order, told once, and told when it is over."""
    told: list[str] = []
    pager = Pager(outcome=lambda id, n: DeliveryFailed("busy", "later") if n < 6 else None)
    with delivering(pager, told=told) as delivery:
        delivery.take(alert(id="1"))
        drained(delivery)
        delivery.take(alert(id="2"))
        drained(delivery)
    assert pager.tries == ["1"] * 6 + ["2"] * 6
    assert (counts(delivery).taken, counts(delivery).failed_tries) == (2, 10)
    first, over, *again, end = told
    assert first == (
        "pager: alert 1 could not be handed on (busy: later); it is tried until it is taken"
    )
    assert over == "pager: alerts are taken again after 5 failed tries"
    assert len(again) == 1
    assert end == "pager: 2 alerts were handed on, 10 tries failed"


def test_what_is_refused_is_given_up() -> None:
    """After a few tries; those behind it follow. The sink's own errors are refusals, too."""
    told: list[str] = []

    def outcome(id: str, n: int) -> Exception | None:
        return {"1": Rejected("422"), "2": KeyError("a bug")}.get(id)

    pager = Pager(outcome=outcome)
    with delivering(pager, told=told) as delivery:
        for id in ("1", "2", "3"):
            delivery.take(alert(id=id))
        drained(delivery)
        assert delivery.undelivered == 2
    assert pager.tries == ["1"] * TRIES + ["2"] * TRIES + ["3"]
    assert (counts(delivery).taken, counts(delivery).given_up) == (1, 2)
    assert "alert 1 was given up after 3 tries (422)" in told[0]
    assert "the sink itself failed (KeyError)" in told[1]
    assert told[-1] == "pager: 1 alert was handed on, 6 tries failed, 2 were given up"


def test_many_refusals_are_counted() -> None:
    """Told at the first, at ten, a hundred and so on."""
    told: list[str] = []
    pager = Pager(outcome=lambda id, n: Rejected("422"))
    with delivering(pager, told=told) as delivery:
        for number in range(12):
            delivery.take(alert(id=str(number)))
        drained(delivery)
    assert [text.partition(";")[0] for text in told] == [
        "pager: alert 0 was given up after 3 tries (422)",
        "pager: 10 alerts were given up",
        "pager: 0 alerts were handed on, 36 tries failed, 12 were given up",
    ]


def test_a_sink_that_fails_holds_up_no_other() -> None:
    """Nor the subscriber."""
    stuck = threading.Event()

    class Stuck(Pager):
        def send(self, message: Alert | Technical) -> None:
            stuck.wait(20)

        def close(self) -> None:
            stuck.set()

    slow, quick = Stuck("slow"), Pager("quick")
    with delivering(slow, quick) as delivery:
        for number in range(100):
            delivery.take(alert(id=str(number)))
            delivery.look()
        until_s = time.monotonic() + 10
        while len(quick.taken) < 100 and time.monotonic() < until_s:
            delivery.look()
            time.sleep(0.001)
        assert len(quick.taken) == 100
        assert counts(delivery, "slow").waiting == 100
        stuck.set()


def test_a_sink_may_stand_by(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is called while no alert comes; that it fails then is nobody's affair."""
    monkeypatch.setattr(delivery_file, "STAND_BY_S", 0.01)
    told: list[str] = []
    called: list[int] = []

    class Standing(Pager):
        def stand_by(self) -> None:
            called.append(len(self.taken))
            raise DeliveryFailed("gone")

    pager = Standing()
    with delivering(pager, told=told) as delivery:
        until_s = time.monotonic() + 10
        while len(called) < 3 and time.monotonic() < until_s:
            time.sleep(0.001)
        delivery.take(alert(id="1"))
        drained(delivery)
    assert called[:3] == [0, 0, 0]
    assert pager.taken == ["1"]
    assert told == ["pager: 1 alert was handed on"]


def test_a_sink_that_cannot_be_closed_keeps_none_open() -> None:
    """Another package's error ends nothing but itself."""

    class Broken(Pager):
        def close(self) -> None:
            raise KeyError("a bug")

    told: list[str] = []
    whole = Pager("whole")
    with delivering(Broken("broken"), whole, told=told) as delivery:
        delivery.take(alert(id="1"))
        drained(delivery)
    assert whole.closed
    assert len(told) == 2


def test_two_sinks_of_one_name_are_told_apart() -> None:
    """Two channels of one host."""
    with delivering(Pager(), Pager()) as delivery:
        assert list(delivery.counts) == ["pager", "pager #2"]


def test_what_waits_in_memory_is_bounded() -> None:
    """The oldest goes, and is counted."""
    backlog = MemoryBacklog(most=3)
    for number in range(5):
        backlog.put(alert(id=str(number)))
    taken = backlog.take()
    assert taken is not None
    assert (taken[1].id, backlog.lost, backlog.waiting) == ("2", 2, 3)
    backlog.done(taken[0])
    assert backlog.waiting == 2


@pytest.mark.parametrize(("tries", "expected"), [(1, 0.5), (2, 1), (5, 8), (8, 60), (99999, 60)])
def test_pauses_double_up_to_a_minute(
    tries: int, expected: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or are as long as the other side asks for."""
    monkeypatch.setattr(delivery_file, "FIRST_PAUSE_S", 0.5)
    monkeypatch.setattr(delivery_file, "LONGEST_PAUSE_S", 60.0)
    assert pause_s(tries, DeliveryFailed("")) == expected
    assert pause_s(tries, DeliveryFailed("", after_s=90)) == 90


def test_a_durable_subscriber_goes_on_where_each_sink_was(tmp_path: Path) -> None:
    """What failed in one life is handed on in the next; what was taken is not again."""
    failing = Pager("b", lambda id, n: DeliveryFailed("gone") if int(id) > 1 else None)
    quick = Pager("a")
    with Inbox(tmp_path / "i") as inbox, delivering(quick, failing, inbox=inbox) as delivery:
        keep(inbox, 1, 2, 3)
        drained(delivery)
        assert counts(delivery, "b").waiting == 2
    assert (quick.taken, failing.taken) == (["1", "2", "3"], ["1"])
    again, mended = Pager("a"), Pager("b")
    with Inbox(tmp_path / "i") as inbox, delivering(again, mended, inbox=inbox) as delivery:
        keep(inbox, 4)
        drained(delivery)
    assert (again.taken, mended.taken) == (["4"], ["2", "3", "4"])


def test_a_new_sink_begins_with_what_comes(tmp_path: Path) -> None:
    """An inbox of a year does not flood the pager that is added to it."""
    with Inbox(tmp_path / "i") as inbox:
        keep(inbox, 1, 2)
        pager = Pager()
        with delivering(pager, inbox=inbox) as delivery:
            keep(inbox, 3)
            drained(delivery)
    assert pager.taken == ["3"]


def test_filters_stand_before_sinks_and_behind_the_file(tmp_path: Path) -> None:
    """What is not wanted is kept, and not handed on, in this life or the next."""
    only = {"2", "4"}

    def wants(message: Message) -> bool:
        return isinstance(message, Alert) and message.id in only

    first, second = Pager(), Pager()
    with Inbox(tmp_path / "i") as inbox:
        with delivering(first, inbox=inbox, wants=wants) as delivery:
            keep(inbox, 1, 2, 3)
            drained(delivery)
        with delivering(second, inbox=inbox, wants=wants) as delivery:
            keep(inbox, 4, 5)
            drained(delivery)
        assert len(inbox.alerts()) == 5
        assert inbox.sink_position("pager") == 5
    assert (first.taken, second.taken) == (["2"], ["4"])


def test_what_no_journal_keeps_is_handed_on_at_once(tmp_path: Path) -> None:
    """That the journal fails has no number, and no place in the file."""
    pager = Pager()
    with Inbox(tmp_path / "i") as inbox, delivering(pager, inbox=inbox) as delivery:
        delivery.take(technical(id="failing", seq=0))
        delivery.take(alert(id="1", seq=1))  # the file has it
        keep(inbox, 1)
        drained(delivery)
    assert sorted(pager.taken) == ["1", "failing"]


def test_filters_do_not_keep_back_that_the_monitor_is_not_heard(tmp_path: Path) -> None:
    """It is no alert of the monitor's."""
    pager = Pager()
    with (
        Inbox(tmp_path / "i") as inbox,
        delivering(pager, inbox=inbox, wants=lambda message: False) as delivery,
    ):
        delivery.take(technical(id="noise", seq=0))
        delivery.tell(technical(id="unheard", seq=0))
        drained(delivery)
    assert pager.taken == ["unheard"]


def test_what_retention_removed_is_counted(tmp_path: Path) -> None:
    """It cannot be handed on any more."""
    told: list[str] = []
    pager = Pager(outcome=lambda id, n: DeliveryFailed("gone"))
    with Inbox(tmp_path / "i") as inbox:
        with delivering(pager, inbox=inbox) as delivery:
            keep(inbox, 1, 2)
            delivery.look()
        for number in range(3, 300):
            keep(inbox, number)
    later = Pager()
    with Inbox(tmp_path / "i", keep_mb=0.001) as inbox:
        inbox.hold()
        while len(inbox.alerts()) > 10:
            inbox.truncate()
        with delivering(later, told=told, inbox=inbox) as delivery:
            drained(delivery)
            lost = counts(delivery).lost
    assert lost + len(later.taken) == 299
    assert lost > 0
    assert f"{lost} were removed before being handed on" in told[-1]


def test_an_end_does_not_wait_for_who_is_gone() -> None:
    """And says what was left."""
    told: list[str] = []
    pager = Pager(outcome=lambda id, n: DeliveryFailed("gone"))
    with delivering(pager, told=told) as delivery:
        delivery.take(alert(id="1"))
        began_s = time.monotonic()
        drained(delivery)
        assert time.monotonic() - began_s < 10
        assert delivery.undelivered == 1
    assert told[-1].endswith("1 was not, and is not kept")


def test_metrics_tell_what_became_of_alerts() -> None:
    """Of each sink, under the names that are declared."""
    pager = Pager(outcome=lambda id, n: Rejected("422") if id == "1" else None)
    with delivering(pager) as delivery:
        for id in ("1", "2"):
            delivery.take(alert(id=id))
        drained(delivery)
        found = {declared.name: values[0].value for declared, values in delivery.values()}
    assert found["sink_alerts"] == found["sink_given_up"] == 1
    assert found["sink_failed_tries"] == TRIES
    assert set(found) == {name for name in BY_NAME if name.startswith("sink_")}
