"""A ward past saturation, with a clock of its own: who is shed, and what never is.

The stages' own code from the source to what is told; the line between source and segmenter holds
so many bundles, and behind it so many messages a second are taken, few for a while.
"""

from __future__ import annotations

from collections import deque
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
from monitor.stages.playback import Pacer, open_sources
from monitor.stages.segmenter import SampleSegmenter, WaveAudience
from monitor.wire.codec import decode_bundle
from monitor.wire.messages import (
    Alert,
    BeatScored,
    BeatsMessage,
    ShedHeader,
    StageMessage,
    Status,
    Technical,
)
from monitor.wire.sockets import LIVE_MESSAGES
from segmenter.beat import BeatSpec
from tests.messages import status

PATIENTS = 20
BLOCK_S = 0.5
OFFERED_PER_S = PATIENTS / BLOCK_S  # messages
BUNDLES = 2 * LIVE_MESSAGES  # on the line: at either end of a connection
CALM_S, BUSY_S, AFTER_S = 20, 60, 75
LISTEN_S = 40  # of the busy time, at its end: who is shed has been found
TICKS_PER_S = 20  # as the producer's
TWICE, FOUR_TIMES = 2.0, 4.0
LEAST_USED = {TWICE: 0.8, FOUR_TIMES: 0.7}  # of the capacity


class Second(NamedTuple):
    """One second of the ward, up to its heartbeat."""

    lag_s: float
    told: int  # scores
    judged: int  # beats that got a verdict
    scores_shed: int  # so far
    samples_shed: int  # so far
    overload: str | None
    status: Status


class Told(NamedTuple):
    """All that a subscriber had, and what the segmenter counted."""

    seconds: list[Second]
    numbered: list[Alert | Technical]
    newest_seq: int
    segmenter: Counters


class Line:
    """Bundles on their way; what is behind takes so many messages a second."""

    def __init__(self) -> None:
        self._bundles: deque[list[bytes]] = deque()
        self._taken: deque[StageMessage] = deque()
        self._credit = 0.0

    def try_send(self, frames: list[bytes]) -> bool:
        if len(self._bundles) >= BUNDLES:
            return False
        self._bundles.append(frames)
        return True

    def take(self, per_s: float) -> list[StageMessage]:
        self._credit = min(self._credit + per_s / TICKS_PER_S, max(1.0, per_s / TICKS_PER_S))
        while self._bundles and len(self._taken) < self._credit:
            self._taken += decode_bundle(self._bundles.popleft())
        taken = [self._taken.popleft() for _ in range(min(int(self._credit), len(self._taken)))]
        self._credit -= len(taken)
        return taken


@pytest.fixture(scope="module", params=[TWICE, FOUR_TIMES], ids=["twice", "four times"])
def overloaded(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[float, Told]:
    """Let a ward live that is offered so many times as much as can be taken, for a while."""
    folder = tmp_path_factory.mktemp("ward")
    return request.param, let_live(folder, request.param)


@pytest.fixture
def told(overloaded: tuple[float, Told]) -> Told:
    """Return how the ward was."""
    return overloaded[1]


def let_live(folder: Path, overload: float) -> Told:
    write_record(folder / "sim", SimulationSettings(hours=0.03, seed=3))
    ward = Ward(PATIENTS, block_s=(BLOCK_S,))
    playbacks = open_sources(
        ProducerSettings(
            leads=["0"], records=[str(folder / "sim")], samples="ipc:///x", live=True, ward=ward
        )
    ).playbacks
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
        seconds, said = _live(feed, stage, engine, overload)
        return Told(seconds, said, engine.report().newest_seq, counters)


def _live(
    feed: LiveFeed, stage: SampleSegmenter, engine: Engine, times: float
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
        produced = stage.step(line.take(OFFERED_PER_S / times if is_busy else 1000), now_s)
        for one in produced.messages:
            if isinstance(one, ShedHeader):
                engine.shed(one)
        beats = [one for one in produced.messages if isinstance(one, BeatsMessage)]
        result = engine.step(beats, round(1e9 * now_s))
        tellable = without_late_beats(result.messages, result.lag_s)
        consumer.dropped += len(result.messages) - len(tellable)
        kept += result.alerts
        scores += sum(isinstance(one, BeatScored) for one in tellable)
        lag_s = max(lag_s, result.lag_s)
        if tick % TICKS_PER_S == 0:
            engine.listened(1.0, report=True)
            lasting = bool(seconds) and seconds[-1].overload is not None
            stages = [producer.health(), consumer.health()]
            text = overload.look(stages, lag_s, rules, lasting, engine.shed_patients())
            report = engine.report()
            seconds.append(
                Second(
                    lag_s,
                    scores,
                    sum(one.judged for one in report.patients),
                    consumer.dropped,
                    producer.dropped,
                    text,
                    status(patients=report.patients, ward=report.ward),
                )
            )
            lag_s, scores = 0.0, 0
    return seconds, kept


def busy_end(told: Told) -> list[Second]:
    """Return the last seconds of the busy time."""
    return told.seconds[CALM_S + BUSY_S - LISTEN_S : CALM_S + BUSY_S]


def shed_in(second: Second) -> list[str]:
    return [one.patient for one in second.status.patients if "shed" in one.technical]


def test_a_ward_that_is_kept_up_with_sheds_nothing(told: Told) -> None:
    """Every beat is told in time, and nobody speaks of overload."""
    calm = told.seconds[:CALM_S]
    assert max(one.lag_s for one in calm) < 0.25
    assert all((one.scores_shed, one.samples_shed, one.overload) == (0, 0, None) for one in calm)
    assert sum(one.told for one in calm) > 10 * PATIENTS


def test_what_is_judged_stays_near_the_capacity(overloaded: tuple[float, Told]) -> None:
    """At twice the capacity four fifths of it are used; at four times five patients are a ward.

    One of these is a fifth of the capacity, so that only seven tenths can be asked for there.

    The capacity in beats: those of the calm time before, by the share that is taken. No score is
    left out for being late once it has been found who is to be shed.
    """
    times, told = overloaded
    calm = told.seconds[CALM_S - 10 : CALM_S]
    capacity_per_s = (calm[-1].judged - calm[0].judged) / (len(calm) - 1) / times
    busy = busy_end(told)
    judged_per_s = (busy[-1].judged - busy[0].judged) / (len(busy) - 1)
    assert judged_per_s >= LEAST_USED[times] * capacity_per_s
    assert busy[-1].scores_shed == busy[0].scores_shed
    assert max(one.lag_s for one in busy) < 2.0


def test_the_patients_admitted_last_are_shed_and_the_first_served_throughout(told: Told) -> None:
    """The status of each shows it, without a heart rate; who is served is judged all the time."""
    first, last = busy_end(told)[0], busy_end(told)[-1]
    names = [one.patient for one in last.status.patients]
    shed = shed_in(last)
    assert shed == names[-len(shed) :]
    assert len(shed) == last.status.ward.shed >= PATIENTS // 3
    assert all(one.heart_rate_bpm is None for one in last.status.patients if one.patient in shed)
    before = {one.patient: one.judged for one in first.status.patients}
    judged = {one.patient: one.judged - before[one.patient] for one in last.status.patients}
    assert judged[names[0]] > 0.7 * LISTEN_S  # at 80 a minute, without those that are withheld
    assert last.status.patients[0].heart_rate_bpm is not None


def test_one_alert_names_how_many_and_who(told: Told) -> None:
    """Overload is said within seconds and until it is over; not a word of each patient."""
    said = [number for number, one in enumerate(told.seconds) if one.overload is not None]
    assert CALM_S <= said[0] <= CALM_S + 5
    text = busy_end(told)[-1].overload
    shed = shed_in(busy_end(told)[-1])
    assert text is not None
    assert text.startswith(f"{len(shed)} patients are not monitored")
    assert shed[0] in text
    technical = [one for one in told.numbered if isinstance(one, Technical)]
    assert not [one for one in technical if one.event in ("signal_lost", "stream_restarted")]


def test_alerts_are_never_shed(told: Told) -> None:
    """Each number up to the newest was told once, in order; also those of the busy time."""
    assert [one.seq for one in told.numbered] == list(range(1, told.newest_seq + 1))
    assert any(isinstance(one, Alert) for one in told.numbered)


def test_every_lost_sample_is_counted_and_a_gap(told: Told) -> None:
    """What the source dropped is what the segmenter found missing."""
    assert shed_in(told.seconds[-1]) == []
    assert told.segmenter.dropped == told.seconds[-1].samples_shed > 0


def test_it_recovers(told: Told) -> None:
    """All are served and judged again; overload is cleared once, and stays so."""
    last = told.seconds[-5:]
    assert max(one.lag_s for one in last) < 0.25
    assert last[-1].samples_shed == last[0].samples_shed
    assert last[-1].scores_shed == last[0].scores_shed
    lasting = [one.overload is not None for one in told.seconds]
    assert sum(now != before for before, now in pairwise(lasting)) == 2
    assert all(one.heart_rate_bpm is not None for one in last[-1].status.patients)


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
    audience = WaveAudience(cast("zmq.Socket[bytes]", said))
    audience.listen()
    wanted = []
    for is_shed in (False, True, False):
        audience.is_shed = is_shed
        wanted.append([audience.wants(patient) for patient in ("bed-1", "bed-2")])
    assert wanted == [[True, False], [False, False], [True, False]]
