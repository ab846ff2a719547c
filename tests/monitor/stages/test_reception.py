"""A live source's way to the next stage: positions, patients, resumed runs, what is refused."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from monitor.errors import InvalidOption, RecordError
from monitor.settings import ProducerSettings
from monitor.sources import kinds
from monitor.sources.source import LiveBlock, LiveStream
from monitor.stages.live_feed import LiveFeed
from monitor.stages.playback import Pacer, open_sources
from monitor.stages.reception import Reception
from monitor.wire.codec import decode_bundle
from monitor.wire.messages import EndHeader, SamplesMessage, StageMessage

STREAM = LiveStream(("I", "II"), 250.0)


class Scripted:
    """A source that gives what a test put into it."""

    warnings = ("one electrode is dry",)

    def __init__(self, *streams: LiveStream) -> None:
        self.streams = streams or (STREAM,)
        self.blocks: list[LiveBlock] = []
        self.ended = self.is_closed = False
        self.notices: list[str] = []

    def put(self, first: int, n_samples: int, stream: LiveStream = STREAM) -> None:
        samples = np.arange(first, first + n_samples, dtype=np.float32)
        leads = np.stack([samples for _ in stream.leads])
        self.blocks.append(LiveBlock(stream, first, leads, 7))

    def take(self) -> list[LiveBlock]:
        taken, self.blocks = self.blocks, []
        return taken

    def take_notices(self) -> list[str]:
        taken, self.notices = self.notices, []
        return taken

    def close(self) -> None:
        self.is_closed = True


def settings(**changes: Any) -> ProducerSettings:
    return ProducerSettings(records=["strap:1"], samples="ipc:///unused", **changes)


def reception(source: Scripted, resume: dict[str, int] | None = None, **changes: Any) -> Reception:
    return Reception("strap:1", source, "strap:1", settings(**changes), resume or {}, 99)


def places(messages: list[StageMessage]) -> list[tuple[str, int, int]]:
    headers = [one.header for one in messages if isinstance(one, SamplesMessage)]
    return [(one.patient, one.position, one.n_samples) for one in headers]


@pytest.fixture
def strap() -> Scripted:
    return Scripted()


def test_blocks_keep_their_places(strap: Scripted) -> None:
    """Sample for sample, with holes where the source says so; sent when they came."""
    strap.put(0, 10)
    strap.put(10, 5)
    strap.put(100, 20)
    messages = reception(strap).take()
    assert places([*messages]) == [("strap:1", 0, 10), ("strap:1", 10, 5), ("strap:1", 100, 20)]
    assert [one.header.sequence for one in messages] == [0, 1, 2]
    assert {one.header.sent_ns for one in messages} == {7}
    assert messages[2].samples[1].tolist() == list(range(100, 120))


def test_a_long_block_is_cut(strap: Scripted) -> None:
    """No message holds more than thirty seconds."""
    strap.put(0, 16_000)
    assert places([*reception(strap).take()]) == [
        ("strap:1", 0, 7500),
        ("strap:1", 7500, 7500),
        ("strap:1", 15_000, 1000),
    ]


def test_a_duration_ends_it(strap: Scripted) -> None:
    """--duration counts the stream's own time, holes too."""
    one = reception(strap, duration_s=1.0)
    strap.put(0, 200)
    assert places([*one.take()]) == [("strap:1", 0, 200)]
    assert not one.ended
    strap.put(200, 100)
    assert places([*one.take()]) == [("strap:1", 200, 50)]
    assert one.ended


@pytest.mark.parametrize(
    ("sent", "changes", "late_s", "is_over"),
    [
        (0, {"duration_s": 60.0}, 59, False),
        (0, {"duration_s": 60.0}, 61, True),
        (200, {"duration_s": 60.0}, 61, True),
        (200, {"duration_s": 3.0}, 4, False),  # it may only be slow
        (200, {}, 3600, False),
    ],
)
def test_a_source_that_sends_nothing_more_ends_by_the_clock(
    strap: Scripted, sent: int, changes: dict[str, Any], late_s: float, is_over: bool
) -> None:
    """At --duration, since what is missing of it may never come; it did not end at all."""
    began_s = time.monotonic()
    one = reception(strap, **changes)
    if sent:
        samples = np.zeros((2, sent), np.float32)
        strap.blocks.append(LiveBlock(STREAM, 0, samples, time.monotonic_ns()))
    one.take()
    pacer = Pacer([], 1.0, began_s, [one])
    assert bool(pacer.take_due(began_s + late_s, None)) is is_over
    assert bool(pacer) is not is_over


def test_a_source_to_which_nobody_sends_ends_with_the_reason(strap: Scripted) -> None:
    """At --duration; among others they go on, and the last one is an error, not an endless run."""
    began_s = time.monotonic()
    nobody, other = Scripted(), reception(strap, duration_s=60.0)
    nobody.streams = ()
    pacer = Pacer([], 1.0, began_s, [reception(nobody, duration_s=60.0)])
    assert pacer.take_due(began_s + 59, None) == []
    with pytest.raises(RecordError, match="nobody sent anything within --duration"):
        pacer.take_due(began_s + 61, None)
    pacer = Pacer([], 1.0, began_s, [reception(nobody, duration_s=60.0), other])
    (end,) = pacer.take_due(began_s + 61, None)
    assert isinstance(end, EndHeader)
    assert end.last
    assert [patient for patient, _ in pacer.failed] == ["strap:1"]
    ends_first = reception(strap, duration_s=1.0)
    pacer = Pacer([], 1.0, began_s, [ends_first, reception(nobody, duration_s=60.0)])
    assert len(pacer.take_due(began_s + 30, None)) == 1
    with pytest.raises(RecordError, match="nobody sent anything"):
        pacer.take_due(began_s + 61, None)


def test_a_pipe_is_not_ended_by_the_clock(strap: Scripted) -> None:
    """Who feeds it may be slower than its samples' time, and pause."""
    asked = settings(duration_s=60.0)
    one = Reception("-", strap, "stdin", asked, {}, 99, waits=True)
    assert not one.is_overdue(time.monotonic() + 3600)


def test_a_run_that_goes_on_leaves_a_hole(strap: Scripted) -> None:
    """As long as the run's clock says, a second at least: nobody knows what came meanwhile."""
    strap.put(0, 10)
    assert places([*reception(strap, {"strap:1": 1000}).take()]) == [("strap:1", 1250, 10)]
    strap.put(0, 10)
    began_s = time.time() - 60.0
    one = reception(strap, {"strap:1": 1000}, began_unix_s=began_s)
    ((_, position, _),) = places([*one.take()])
    assert position == pytest.approx(60 * 250, abs=100)
    (stream,) = one.streams()
    assert (stream.first_sample, stream.n_samples, stream.digest) == (0, None, "live")
    assert stream.warnings == ["one electrode is dry"]


def test_a_source_may_have_many_patients_and_get_more() -> None:
    """Each is a stream of its own, with its own leads and rate."""
    one, other = LiveStream(("I",), 250.0, "bed 1"), LiveStream(("V5",), 500.0, "bed\x1b2")
    source = Scripted(one)
    received = reception(source)
    source.put(0, 10, one)
    source.put(0, 20, other)
    source.put(10, 10, one)
    assert [(p, n) for p, _, n in places([*received.take()])] == [
        ("bed_1", 10),
        ("bed␛2", 20),
        ("bed_1", 10),
    ]
    assert received.patients == ["bed_1", "bed␛2"]
    ends = received.end("complete", True, 0)
    assert [(end.patient, end.position, end.last) for end in ends] == [
        ("bed_1", 20, False),
        ("bed␛2", 20, True),
    ]
    assert source.is_closed
    assert received.end("stopped", True, 0) == []


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        (LiveStream(("I",), 50.0), "sampling rate 50.0 Hz is outside 100 to 2000 Hz"),
        (LiveStream((), 250.0), "has 0 leads; name 1 to 16 of them"),
        (LiveStream(tuple("abcdefghijklmnopq"), 250.0), "has 17 leads"),
    ],
)
def test_a_stream_that_cannot_be_monitored_is_refused(stream: LiveStream, said: str) -> None:
    """When it is opened, with the reason."""
    with pytest.raises(RecordError, match=said):
        reception(Scripted(stream))


def test_a_source_that_breaks_its_promise_is_refused(strap: Scripted) -> None:
    """One that counts back, or whose leads change."""
    one = reception(strap)
    strap.put(100, 10)
    strap.put(50, 10)
    with pytest.raises(RecordError, match="2 leads at sample 50, where 2 leads from sample 110"):
        one.take()
    strap.blocks = [LiveBlock(STREAM, 200, np.zeros((1, 5), np.float32), 7)]
    with pytest.raises(RecordError, match="a block of 1 lead at"):
        one.take()


def test_two_streams_of_one_patient_are_refused() -> None:
    """Their samples would be cut into one ECG."""
    beds = LiveStream(("I",), 250.0, "bed"), LiveStream(("II",), 250.0, "bed")
    with pytest.raises(RecordError, match="two streams of patient bed"):
        reception(Scripted(*beds))


def test_the_feed_sends_what_came_and_ends_with_the_source(strap: Scripted) -> None:
    """Live sources go through the feed that sheds load, and their end behind all samples."""
    pacer = Pacer([], 1.0, 0.0, [reception(strap)])
    feed = LiveFeed(pacer, 100)
    taken: list[StageMessage] = []

    def send(frames: list[bytes]) -> bool:
        taken.extend(decode_bundle(frames))
        return True

    assert pacer.patients == ["strap:1"]
    strap.put(0, 10)
    feed.take_due(1.0)
    feed.send(send)
    strap.put(10, 10)
    strap.ended = True
    strap.notices = ["lost"]
    assert pacer.take_notices(0.0) == ["strap:1: lost"]
    feed.take_due(2.0)
    feed.send(send)
    assert places(taken) == [("strap:1", 0, 10), ("strap:1", 10, 10)]
    end = taken[-1]
    assert isinstance(end, EndHeader)
    assert (end.position, end.reason, end.last) == (20, "complete", True)
    assert not pacer


def test_a_stream_that_never_sends_is_told_once(strap: Scripted) -> None:
    """Nobody behind knows of it yet; one that sent something, they report themselves."""
    mute, sending = reception(strap), reception(strap)
    soon_s, late_s = time.monotonic() + 1, time.monotonic() + 60
    assert mute.take_notices(soon_s) == []
    (told,) = mute.take_notices(late_s)
    assert told == "strap:1: no sample came for 5 s; does it send?"
    assert mute.take_notices(late_s) == []
    strap.put(0, 10)
    sending.take()
    assert sending.take_notices(late_s) == []


class Failing(Scripted):
    """A source that cannot go on."""

    def take(self) -> list[LiveBlock]:
        raise RecordError("source strap: it has other leads now")


def test_one_that_cannot_go_on_ends_and_the_others_go_on(strap: Scripted) -> None:
    """Alone, that is the end of the run."""
    pacer = Pacer([], 1.0, 0.0, [reception(Failing()), reception(strap)])
    strap.put(0, 10)
    messages = pacer.take_due(1.0, None)
    assert isinstance(messages[0], EndHeader)
    assert (messages[0].reason, messages[0].last) == ("stopped", False)
    assert pacer.failed == [("strap:1", "source strap: it has other leads now")]
    assert places(messages) == [("strap:1", 0, 10)]
    with pytest.raises(RecordError, match="other leads now"):
        Pacer([], 1.0, 0.0, [reception(Failing())]).take_due(1.0, None)


@pytest.mark.parametrize(
    ("changes", "option"),
    [({"speed": 4.0}, "--speed"), ({"start_s": 5.0}, "--start"), ({"loop": True}, "--loop")],
)
def test_options_of_records_are_refused_for_live_sources(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], option: str
) -> None:
    """A live source has no other speed, nothing before it, and no end to begin again from."""
    monkeypatch.setattr(kinds, "LIVE", {"strap": "nowhere:LIVE"})
    with pytest.raises(InvalidOption, match=f"{option} is for records, and strap:1 is live"):
        open_sources(settings(**changes))


@pytest.mark.parametrize(("unit", "said"), [(1.0, ""), (300.0, "span 600"), (1e-4, "span 0.0002")])
def test_samples_that_can_be_no_ecg_in_their_unit_are_told_once(unit: float, said: str) -> None:
    """ADC counts on a serial line, say; the lead that is missing does not matter."""
    source = Scripted()
    one = reception(source)
    beat = unit * np.sin(np.arange(125, dtype=np.float32))
    told: list[str] = []
    for k in range(20):
        samples = np.stack([beat, np.full(125, np.nan, np.float32)])
        source.blocks.append(LiveBlock(STREAM, 125 * k, samples, 7))
        one.take()
        told += one.take_notices(time.monotonic())
    assert len(told) == bool(said)
    assert all(said in text and "--units" in text for text in told)
