"""A ward past saturation, with a clock of its own: what is shed, in which order, and what never is.

The stages' own code from the source to what is told; the line between source and segmenter holds
so many bundles, and behind it so many messages a second are taken, few for a while.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, cast

import pytest
import zmq

from model.checkpoint import load_shipped
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.detection.system_alerts import Overload
from monitor.journal.writer import Journal
from monitor.settings import ConsumerSettings, ProducerSettings, TechnicalRules, Ward
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.stages.consumer import without_late_beats
from monitor.stages.host import Counters
from monitor.stages.live_feed import LiveFeed, most_waiting
from monitor.stages.playback import Pacer, open_playbacks
from monitor.stages.segmenter import Audience, SampleSegmenter
from monitor.wire.codec import decode_bundle
from monitor.wire.messages import Alert, BeatScored, BeatsMessage, StageMessage, Technical
from segmenter.beat import BeatSpec

PATIENTS = 6  # in blocks of 0.2 s: 30 messages a second
BUNDLES = 32  # on the line
CALM_S, BUSY_S, AFTER_S = 20, 30, 25
TICKS_PER_S = 10
MESSAGES_A_TICK = {True: 1, False: 100}  # while busy, and otherwise


class Second(NamedTuple):
    """One second of the ward, up to its heartbeat."""

    lag_s: float
    told: int  # scores
    scores_shed: int  # so far
    samples_shed: int  # so far
    overload: str | None


class Told(NamedTuple):
    """All that a subscriber had, and what the segmenter counted."""

    seconds: list[Second]
    numbered: list[Alert | Technical]
    newest_seq: int
    segmenter: Counters


class Line:
    """Bundles on their way; what is behind takes some messages at a time."""

    def __init__(self) -> None:
        self._bundles: deque[list[bytes]] = deque()
        self._taken: deque[StageMessage] = deque()

    def try_send(self, frames: list[bytes]) -> bool:
        if len(self._bundles) >= BUNDLES:
            return False
        self._bundles.append(frames)
        return True

    def take(self, most: int) -> list[StageMessage]:
        while self._bundles and len(self._taken) < most:
            self._taken += decode_bundle(self._bundles.popleft())
        return [self._taken.popleft() for _ in range(min(most, len(self._taken)))]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Let the ward live."""
    folder = tmp_path_factory.mktemp("ward")
    write_record(folder / "sim", SimulationSettings(hours=0.03, seed=3))
    ward = Ward(PATIENTS, block_s=(0.2,))
    playbacks = open_playbacks(
        ProducerSettings(records=[str(folder / "sim")], samples="ipc:///x", live=True, ward=ward)
    )
    feed = LiveFeed(Pacer(playbacks, 1.0, now_s=0.0), most_waiting(PATIENTS))
    counters = Counters("segmenter", 0)
    stage = SampleSegmenter(BeatSpec(), [], [], counters)
    settings = ConsumerSettings(beats="ipc:///b", alerts="ipc:///a", journal=str(folder / "j"))
    with Journal(Path(settings.journal)) as journal, ThreadPoolExecutor(1) as learner:
        engine = Engine(
            load_shipped(),
            settings,
            journal,
            ModelStore(folder, journal.identity),
            learner,
            lambda: "now",
        )
        engine.expect([playback.stream() for playback in playbacks])
        seconds, said = _live(feed, stage, engine)
        yield Told(seconds, said, engine.report().newest_seq, counters)


def _live(
    feed: LiveFeed, stage: SampleSegmenter, engine: Engine
) -> tuple[list[Second], list[Alert | Technical]]:
    line, overload, rules = Line(), Overload(), TechnicalRules()
    producer, consumer = Counters("producer", 0), Counters("consumer", 0)
    seconds: list[Second] = []
    kept: list[Alert | Technical] = []
    lag_s, scores = 0.0, 0
    for tick in range(1, TICKS_PER_S * (CALM_S + BUSY_S + AFTER_S) + 1):
        now_s = tick / TICKS_PER_S
        feed.take_due(now_s)
        feed.send(line.try_send)
        producer.dropped = feed.dropped
        is_busy = CALM_S < now_s <= CALM_S + BUSY_S
        produced = stage.step(line.take(MESSAGES_A_TICK[is_busy]), now_s)
        beats = [one for one in produced.messages if isinstance(one, BeatsMessage)]
        result = engine.step(beats, round(1e9 * now_s))
        tellable = without_late_beats(result.messages, result.lag_s)
        consumer.dropped += len(result.messages) - len(tellable)
        kept += result.alerts
        scores += sum(isinstance(one, BeatScored) for one in tellable)
        lag_s = max(lag_s, result.lag_s)
        if tick % TICKS_PER_S == 0:
            lasting = bool(seconds) and seconds[-1].overload is not None
            stages = [producer.health(), consumer.health()]
            text = overload.look(stages, lag_s, rules, lasting)
            seconds.append(Second(lag_s, scores, consumer.dropped, producer.dropped, text))
            lag_s, scores = 0.0, 0
    return seconds, kept


def first(seconds: list[Second], field: str) -> int:
    """Return the second in which something was first shed, or said."""
    return next(number for number, one in enumerate(seconds, start=1) if getattr(one, field))


def test_a_ward_that_is_kept_up_with_sheds_nothing(told: Told) -> None:
    """Every beat is told in time, and nobody speaks of overload."""
    calm = told.seconds[:CALM_S]
    assert max(one.lag_s for one in calm) < 0.25
    assert all(one[2:] == (0, 0, None) for one in calm)
    assert sum(one.told for one in calm) > 60


def test_scores_go_before_samples(told: Told) -> None:
    """Overload is said within seconds of the load, and no later than anything is lost."""
    said, scores, samples = (
        first(told.seconds, field) for field in ("overload", "scores_shed", "samples_shed")
    )
    assert CALM_S < said <= CALM_S + 5
    assert said <= scores < samples


def test_alerts_are_never_shed(told: Told) -> None:
    """Each number up to the newest was told once, in order; also those of the busy time."""
    assert [one.seq for one in told.numbered] == list(range(1, told.newest_seq + 1))
    assert any(isinstance(one, Alert) for one in told.numbered)


def test_every_lost_sample_is_counted_and_a_gap(told: Told) -> None:
    """What the source dropped is what the segmenter found missing."""
    assert told.segmenter.dropped == told.seconds[-1].samples_shed > 0
    assert told.segmenter.gaps >= PATIENTS


def test_it_recovers(told: Told) -> None:
    """Late beats are gone within two seconds; overload is cleared once, and stays so."""
    after = told.seconds[CALM_S + BUSY_S :]
    assert max(one.lag_s for one in after[2:]) < 0.25
    assert after[-1].samples_shed == after[2].samples_shed
    assert after[-1].scores_shed == after[2].scores_shed
    lasting = [one.overload is not None for one in told.seconds]
    assert sum(now != before for before, now in pairwise(lasting)) == 2
    assert not any(lasting[CALM_S + BUSY_S + 8 :])
    assert sum(one.told for one in after[3:]) > 60


class Subscriptions:
    """A socket on which viewers have said what they want to see."""

    def __init__(self, *said: bytes) -> None:
        self._said = list(said)

    def recv_multipart(self, flags: int) -> list[bytes]:
        if not self._said:
            raise zmq.Again
        return [self._said.pop(0)]


def test_waveforms_go_before_all_else() -> None:
    """Made for who looks at them; for nobody while a full step waits; again when none does."""
    said = Subscriptions(b"\x01wave.bed-1", b"\x01wave.bed-2", b"\x00wave.bed-2")
    audience = Audience(cast("zmq.Socket[bytes]", said))
    audience.listen()
    wanted = []
    for is_shed in (False, True, False):
        audience.is_shed = is_shed
        wanted.append([audience.wants(patient) for patient in ("bed-1", "bed-2")])
    assert wanted == [[True, False], [False, False], [True, False]]
