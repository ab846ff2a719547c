"""A source that cannot wait: what is not taken in time is dropped, oldest first, and counted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from monitor.settings import ProducerSettings, Ward
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.host import Counters
from monitor.stages.live_feed import LiveFeed, most_waiting
from monitor.stages.playback import Pacer, open_sources
from monitor.stages.segmenter import SampleSegmenter
from monitor.wire.codec import decode_bundle
from monitor.wire.messages import BeatsMessage, SamplesMessage, ShedHeader, StageMessage
from segmenter.beat import BeatSpec

PATIENTS = 5


class Line:
    """What the next stage takes: all, or nothing while it is stuck."""

    def __init__(self) -> None:
        self.stuck = False
        self.room = 1_000_000  # bundles
        self.taken: list[StageMessage] = []

    def try_send(self, frames: list[bytes]) -> bool:
        is_open = not self.stuck and self.room > 0
        if is_open:
            self.room -= 1
            self.taken += decode_bundle(frames)
        return is_open

    @property
    def positions(self) -> list[tuple[str, int, int]]:
        headers = [one.header for one in self.taken if isinstance(one, SamplesMessage)]
        return [(one.patient, one.position, one.n_samples) for one in headers]


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> ProducerSettings:
    path = tmp_path_factory.mktemp("records") / "sim"
    write_record(path, SimulationSettings(hours=60 / 3600, seed=1))
    ward = Ward(PATIENTS, block_s=(0.2, 0.5, 1.0))
    return ProducerSettings(records=[str(path)], samples="ipc:///x", live=True, ward=ward)


def feed_of(settings: ProducerSettings, most: int = 20) -> LiveFeed:
    playbacks = open_sources(settings).playbacks
    return LiveFeed(Pacer(playbacks, settings.speed, now_s=100.0), most)


def continuous(positions: list[tuple[str, int, int]]) -> bool:
    """Whether each patient's blocks join."""
    reached: dict[str, int] = {}
    joins = True
    for patient, position, n_samples in positions:
        joins &= reached.get(patient, position) == position
        reached[patient] = position + n_samples
    return joins


def test_nothing_is_dropped_while_the_line_is_open(settings: ProducerSettings) -> None:
    """Every sample that fell due is sent once, in order, stamped with when it was there."""
    feed, line = feed_of(settings), Line()
    for tick in range(1, 101):
        feed.take_due(100.0 + 0.1 * tick)
        feed.send(line.try_send)
    assert (feed.waiting, feed.dropped) == (0, 0)
    assert continuous(line.positions)
    per_patient = {name: 0 for name, _, _ in line.positions}
    for name, _, n_samples in line.positions:
        per_patient[name] += n_samples
    assert len(per_patient) == PATIENTS
    assert all(2500 - 500 <= n <= 2500 for n in per_patient.values())
    stamps = [one.header.sent_ns for one in line.taken if isinstance(one, SamplesMessage)]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= 110.0 * 1e9


def run(feed: LiveFeed, line: Line, first_s: float, last_s: float) -> None:
    """Let a tenth of a second pass, again and again."""
    for tick in range(round(10 * first_s), round(10 * last_s)):
        feed.take_due(tick / 10)
        feed.send(line.try_send)
        assert feed.waiting <= 8


def test_while_the_line_is_stuck_the_oldest_blocks_go(settings: ProducerSettings) -> None:
    """As many wait as may; every sample that fell due was sent or is counted; it recovers."""
    feed, line = feed_of(settings, most=8), Line()
    run(feed, line, 100, 102)
    before = len(line.taken)
    line.stuck = True
    run(feed, line, 102, 132)
    n_waiting = feed.waiting
    assert 0 < n_waiting <= 8
    assert len(line.taken) == before
    line.stuck = False
    assert feed.send(line.try_send) == n_waiting
    dropped = feed.dropped
    run(feed, line, 132, 137)
    assert feed.dropped == dropped
    assert not continuous(line.positions)
    assert continuous(line.positions[before:])  # the newest were kept
    newest = {name: position + n for name, position, n in line.positions}
    first = {name: position for name, position, _ in reversed(line.positions)}
    due = sum(newest[name] - first[name] for name in newest)
    assert due == sum(n for _, _, n in line.positions) + dropped
    assert dropped > 0


def test_what_was_dropped_is_a_gap_to_the_segmenter(settings: ProducerSettings) -> None:
    """The hole is counted, beats behind it keep their places, the loss is said as an event."""
    feed, line = feed_of(settings, most=8), Line()
    run(feed, line, 100, 110)
    line.stuck = True
    run(feed, line, 110, 140)
    line.stuck = False
    run(feed, line, 140, 150)
    counters = Counters("segmenter", 0)
    stage = SampleSegmenter(BeatSpec(), [], [], counters)
    messages = stage.step(line.taken, 0.0).messages
    said = [one for one in messages if isinstance(one, BeatsMessage)]
    assert counters.gaps == PATIENTS
    assert counters.dropped == feed.dropped
    events = {(event.event, event.state) for one in said for event in one.header.events}
    assert events >= {("signal_lost", "onset"), ("signal_lost", "cleared")}
    newest = {name: position + n for name, position, n in line.positions}
    for name, end in newest.items():
        peaks = [r for one in said if one.header.patient == name for r in one.beats.r_sample]
        assert end - 3 * 250 < max(peaks) < end


def test_who_is_shed_is_said_once_and_now_and_then(settings: ProducerSettings) -> None:
    """However many at once, and though the line is stuck from then on until samples are dropped.

    What says so is then still sent, in bundles that the next stage takes.
    """
    n = 2500
    settings = msgspec.structs.replace(settings, ward=Ward(n, block_s=(1.0,)))
    feed, line = feed_of(settings, most_waiting(n)), Line()
    now_s, was_stuck_s = 100.0, 0.0
    for tick in range(1, 600):
        now_s += 0.05
        line.room = int(tick % 4 == 0 or tick < 100)  # then it takes a bundle in four ticks
        if tick > 100 and feed.n_shed and was_stuck_s < 6.0:
            was_stuck_s += 0.05
            line.room = 0
        feed.take_due(now_s)
        feed.send(line.try_send)
    assert was_stuck_s >= 6.0
    line.room = 1000
    feed.take_due(now_s)
    feed.send(line.try_send)
    said = [one for one in line.taken if isinstance(one, ShedHeader)]
    assert len({one.patient for one in said}) >= feed.n_shed > n // 2
    assert len(said) < 4 * feed.n_shed


def test_a_large_ward_is_begun_with_step_by_step(settings: ProducerSettings) -> None:
    """Who is not begun with loses nothing, and is not said to be shed."""
    n = 1500
    settings = msgspec.structs.replace(settings, ward=Ward(n, block_s=(0.4,)))
    feed, line = feed_of(settings, most_waiting(n)), Line()
    came = []
    for tick in range(1, 90):
        feed.take_due(100.0 + 0.05 * tick)
        feed.send(line.try_send)
        came.append(len({name for name, _, _ in line.positions}))
    assert came[18] == 500
    assert came[-1] == n
    assert feed.dropped == 0
    assert continuous(line.positions)
    assert not any(isinstance(one, ShedHeader) for one in line.taken)


@pytest.mark.parametrize("patients", [1, 40])
def test_memory_is_bounded_by_the_patients(settings: ProducerSettings, patients: int) -> None:
    """However long the line is stuck."""
    most = most_waiting(patients)
    assert most <= max(32, 16 * patients)
    feed = feed_of(msgspec.structs.replace(settings, ward=Ward(patients)), most)
    for tick in range(1000):
        feed.take_due(100.0 + 0.1 * tick)
        assert feed.waiting <= most
    assert feed.dropped > 0
    assert feed.waiting >= patients  # what is not older than seconds is kept


def test_a_ward_is_the_same_for_the_same_seed(settings: ProducerSettings) -> None:
    """Patients begin at places of their own, in blocks of lengths of their own."""
    ward = open_sources(settings).playbacks
    assert len({one.position for one in ward}) == PATIENTS
    assert {one.block_s for one in ward} <= {0.2, 0.5, 1.0}
    again = open_sources(settings).playbacks
    assert [one.position for one in ward] == [one.position for one in again]
    assert np.array_equal(ward[0].source.read(0, 100), ward[1].source.read(0, 100))
