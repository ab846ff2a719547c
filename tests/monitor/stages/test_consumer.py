"""What the consumer leaves out while it is behind, and what it keeps before it answers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
import zmq

from monitor.delivery.audience import Audience
from monitor.detection.desk import of_everybody
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.detection.patient_state import read_saved
from monitor.journal.lock import lock_path
from monitor.journal.reader import JournalReader
from monitor.journal.writer import Journal, newest_seq
from monitor.settings import ConsumerSettings
from monitor.stages.consumer import SHED_LAG_S, ConsumerStage, without_late_beats
from monitor.stages.host import StageHost
from monitor.wire.codec import all_encoded
from monitor.wire.messages import (
    ALL_BEATS,
    MONITOR,
    BeatScored,
    HealthHeader,
    Message,
    StageHealth,
    Technical,
    ThresholdRequest,
)
from tests.messages import alert, beat_scored, status, technical
from tests.monitor.checkpoints import template_checkpoint
from tests.monitor.detection.test_engine import STREAM, beats_message
from tests.monitor.journal.test_buffer import no_space

SAID: list[Message] = [beat_scored(), alert(), beat_scored(), technical(), status()]


def test_beats_are_told_while_they_are_in_time() -> None:
    """Nothing is left out of what comes within the limit."""
    assert without_late_beats(SAID, SHED_LAG_S) == SAID


def test_late_beats_are_left_out_and_alerts_never() -> None:
    """What is numbered or the heartbeat is said however late it is."""
    assert without_late_beats(SAID, SHED_LAG_S + 0.1) == [SAID[1], SAID[3], SAID[4]]


class Consumer(NamedTuple):
    """A consumer in this process, and what it is made of."""

    stage: ConsumerStage
    engine: Engine
    journal: Journal
    host: StageHost
    alerts: str  # endpoint


@contextmanager
def made_in(folder: Path, audience: Audience | None = None) -> Iterator[Consumer]:
    """Make a consumer whose journal is the file `j` of a folder; an audience has it make beats."""
    settings = ConsumerSettings(
        beats=f"ipc://{folder}/b", alerts=f"ipc://{folder}/a", journal=str(folder / "j")
    )
    with ExitStack() as stack:
        host = stack.enter_context(StageHost("consumer", settings))
        journal = stack.enter_context(Journal(Path(settings.journal)))
        executor = stack.enter_context(ThreadPoolExecutor(1))
        engine = Engine(
            template_checkpoint(),
            settings,
            journal,
            ModelStore(folder, journal.identity),
            executor,
            lambda: "now",
            hears_beats=of_everybody if audience is None else audience.may_want,
        )
        receiver = host.sockets.pull(settings.beats)
        stage = ConsumerStage(settings, host, engine, journal, receiver, audience=audience)
        yield Consumer(stage, engine, journal, host, settings.alerts)


@pytest.fixture
def consumer(tmp_path: Path) -> Iterator[ConsumerStage]:
    """Return a consumer that has judged a beat of one patient, and whose journal is in a file."""
    with made_in(tmp_path) as made:
        made.engine.expect([STREAM])
        made.stage.pass_on(made.stage.step([beats_message([5.0])], now_s=1.0), now_s=1.0)
        yield made.stage


def test_a_bound_that_is_reached_is_an_alert(
    consumer: ConsumerStage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A patient for whom there is no room: the journal holds why, and later that it is over."""
    monkeypatch.setattr("monitor.detection.admission.MAX_PATIENTS", 1)
    refused = [beats_message([5.0], patient="q")]
    for second in range(2, 12):
        result = consumer.step(refused if second == 2 else [], now_s=float(second))
        consumer.pass_on(result, now_s=float(second))
    with JournalReader(tmp_path / "j") as journal:
        said = [one for one in journal.alerts(patient=MONITOR) if isinstance(one, Technical)]
    assert [(one.event, one.state) for one in said] == [
        ("limit_reached", "onset"),
        ("limit_reached", "cleared"),
    ]
    assert said[0].text.startswith("messages of further patients were refused (1)")


def test_beats_are_made_for_who_asks_for_them(tmp_path: Path) -> None:
    """Of nobody while nobody listens, then of the one patient; counts go on as they were."""
    audience = Audience(ALL_BEATS)
    with made_in(tmp_path, audience) as made:
        stage = made.stage
        made.engine.expect([STREAM, msgspec.structs.replace(STREAM, patient="q")])

        def scored(number: int) -> list[str]:
            """Return whose beats are made of the next message of each patient."""
            sent = [
                beats_message([5.0], 250 * number, patient=name, sequence=number)
                for name in ("p", "q")
            ]
            result = stage.step(sent, float(number))
            stage.pass_on(result, float(number))
            return [one.patient for one in result.messages if isinstance(one, BeatScored)]

        assert scored(1) == []
        subscriber = made.host.sockets.subscribe(made.alerts, ["beat.q", "alert."])
        deadline_s = time.monotonic() + 10
        while not audience.wants("q"):
            stage.step([], 1.0)
            assert time.monotonic() < deadline_s
        assert scored(2) == ["q"]
        assert subscriber.poll(10_000)
        assert subscriber.recv_multipart()[0] == b"beat.q"
        subscriber.setsockopt(zmq.UNSUBSCRIBE, b"beat.q")
        while audience.wants("q"):
            stage.step([], 2.0)
            assert time.monotonic() < deadline_s
        assert scored(3) == []
        assert [one.beats for one in made.engine.report().patients] == [3, 3]


def kept_factor(folder: Path) -> float:
    """Return what a restart would move the thresholds by, did the process die now."""
    left = folder / "left"
    left.mkdir(exist_ok=True)
    for name in ("j", "j-wal"):
        shutil.copy(folder / name, left / name)
    with Journal(left / "j") as journal:
        (reached,) = journal.progress()
    return read_saved(reached.consumer_state, 140).factor


def test_a_command_is_kept_before_it_is_answered(consumer: ConsumerStage, tmp_path: Path) -> None:
    """Whoever was answered "done" can rely on it, though the process dies at once."""
    assert kept_factor(tmp_path) == 1
    assert consumer.carry_out(ThresholdRequest(value=77.0)) == "p: 77.0"
    assert kept_factor(tmp_path) == 77 / 26


def test_a_command_that_cannot_be_kept_is_not_answered_as_done(consumer: ConsumerStage) -> None:
    """The disk is full: it holds for now, and who asked hears that a restart would forget it."""
    with no_space(), pytest.raises(LookupError, match="a restart would forget it"):
        consumer.carry_out(ThresholdRequest(value=77.0))


def test_a_journal_that_is_an_older_copy_is_reported_once(tmp_path: Path) -> None:
    """As a technical alert of the monitor, which begins and ends; all who listen hear it."""
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.commit(all_encoded([alert(seq=1)]), [])
    lock_path(path).write_text(f"{journal.identity} 7")
    assert newest_seq(path) == 1  # who only looks changes nothing
    with made_in(tmp_path) as made:
        for now_s in (1.0, 3.0, 5.0):
            made.stage.pass_on(made.stage.step([], now_s), now_s)
        told = made.journal.alerts_after(1, 10)
        assert [(one.event, one.state) for one in told if isinstance(one, Technical)] == [
            ("journal_went_back", "onset"),
            ("journal_went_back", "cleared"),
        ]
        assert "ends with alert 1, 7 was there" in getattr(told[0], "text", "")


@pytest.mark.parametrize("in_time", [True, False])
def test_a_patient_is_lost_only_while_the_stages_before_are_in_time(
    consumer: ConsumerStage, in_time: bool
) -> None:
    """A stage that is late or not there yet, as after a restart, is what there is to report."""
    told: list[str] = []
    start_s = time.monotonic()
    for second in range(8):
        now_s = start_s + 1.01 * second
        health = [HealthHeader(5, StageHealth("segmenter", 0, 0, 0, 0, 0, 0))]
        messages = [beats_message([5.0, 5.0])] if second == 0 else []
        result = consumer.step([*messages, *(health if in_time else [])], now_s)
        told += [one.event for one in result.messages if isinstance(one, Technical)]
        consumer.pass_on(result, now_s)
    assert ("signal_lost" in told) is in_time
