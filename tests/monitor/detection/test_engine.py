"""Beats in, messages out: verdicts, episodes, learning, thresholds, restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from model.evidence import EvidenceState
from model.learning import Learned
from model.scoring import reconstruction_losses
from model.tracking import Normal
from monitor.detection.engine import Engine
from monitor.detection.model_store import ModelStore
from monitor.detection.weighing import Unweighed, Weighed, by_loss
from monitor.errors import InvalidMessage, JournalFailed, SpecMismatch
from monitor.journal.writer import Journal, Progress
from monitor.settings import ConsumerSettings
from monitor.step_result import StepResult
from monitor.wire.codec import all_encoded
from monitor.wire.messages import (
    AckRequest,
    Alert,
    BeatScored,
    BeatsHeader,
    BeatsMessage,
    EndHeader,
    LearningStatus,
    Message,
    RecordEvent,
    RelearnRequest,
    Stream,
    Technical,
    ThresholdRequest,
)
from segmenter.beat import Beats, BeatSpec
from tests.monitor.checkpoints import TEMPLATE, beats_of_loss, template_checkpoint

NAN = float("nan")
STREAM = Stream("p", "r", ["I"], 250.0, 0, 100_000)


def beats_message(
    losses: list[float],
    first_sample: int = 100,
    events: list[RecordEvent] | None = None,
    **changes: Any,
) -> BeatsMessage:
    """Return beats of the given losses, one second apart."""
    beats = beats_of_loss(losses, first_sample)
    return message_of(beats, events, first=first_sample, **changes)


def message_of(
    beats: Beats, events: list[RecordEvent] | None = None, first: int = 100, **changes: Any
) -> BeatsMessage:
    """Return beats one second apart as the segmenter sends them."""
    values: dict[str, Any] = {
        "version": 5,
        "patient": "p",
        "record": "r",
        "sequence": 0,
        "sent_ns": 0,
        "position": first + 250 * len(beats),
        "leads": ["I"],
        "fs_hz": 250.0,
        "spec": BeatSpec().identity,
        "length": 140,
        "n_beats": len(beats),
        "events": events or [],
        "stretch": 0,
        "first_sample": 0,
    }
    return BeatsMessage(BeatsHeader(**{**values, **changes}), beats, b"segmenter state")


def end(position: int = 99_000, patient: str = "p") -> EndHeader:
    return EndHeader(5, patient, "r", 9, 0, position, "complete", last=True)


class Bench:
    """Engines on one journal; `restart` is what a new process would find."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self.stack = folder, stack

    def engine(
        self, checkpoint: Checkpoint | None = None, learner: Executor | None = None, **settings: Any
    ) -> Engine:
        path = self.folder / "journal"
        self.journal = self.stack.enter_context(Journal(path))
        learner = learner or self.stack.enter_context(ThreadPoolExecutor(1))
        made = ConsumerSettings(beats="ipc:///b", alerts="ipc:///a", journal=str(path), **settings)
        engine = Engine(
            checkpoint or template_checkpoint(),
            made,
            self.journal,
            ModelStore(self.folder, self.journal.identity),
            learner,
            lambda: "now",
            source_waits=not made.live,
        )
        engine.expect([STREAM])
        return engine

    def step(self, engine: Engine, *messages: BeatsMessage | EndHeader) -> list[Message]:
        """Take a step and commit it, as the consumer does; return its messages."""
        result = engine.step(messages, 0)
        self.commit(result)
        return result.messages

    def commit(self, result: StepResult[Message]) -> None:
        self.journal.commit(all_encoded(result.alerts), result.progress)

    def restart(self, **settings: Any) -> Engine:
        self.journal.__exit__(None, None, None)
        return self.engine(**settings)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def states(said: list[Message]) -> list[str]:
    return [one.state for one in said if isinstance(one, Alert | Technical)]


def test_losses_above_the_threshold_are_alerts(bench: Bench) -> None:
    """Every beat is told with its loss; an anomalous one begins an episode, five normal end it."""
    engine = bench.engine()
    said = engine.step([beats_message([5, 40, 30, 5, 5, 5, 5, 5, 5])], now_ns=0).messages
    scored = [one for one in said if isinstance(one, BeatScored)]
    assert [round(one.loss or 0) for one in scored] == [5, 40, 30, 5, 5, 5, 5, 5, 5]
    assert [one.anomalous for one in scored] == [False, True, True] + [False] * 6
    onset, ongoing, cleared = [one for one in said if isinstance(one, Alert)]
    assert [onset.state, ongoing.state, cleared.state] == ["onset", "ongoing", "cleared"]
    assert (onset.sample, onset.time_s, onset.seq) == (350, 1.4, 1)
    assert onset.ratio == pytest.approx(40 / 26, abs=1e-3)
    beat, reconstruction = (
        np.array([values], np.float32) for values in (onset.beat, onset.reconstruction)
    )
    assert onset.loss == pytest.approx(reconstruction_losses(beat, reconstruction)[0], abs=0.2)
    assert (cleared.seq, cleared.episode_beats, cleared.beat) == (3, 2, [])
    assert cleared.loss == pytest.approx(40, abs=1e-3)


def test_beats_without_a_verdict_are_told_and_counted(bench: Bench) -> None:
    """A beat of bad quality has no loss, is no anomaly and is not taken for normal."""
    engine = bench.engine()
    said = engine.step([beats_message([40, NAN, NAN, NAN, NAN, NAN, 5])], now_ns=0).messages
    assert [one.state for one in said if isinstance(one, Alert)] == ["onset"]
    withheld = [one for one in said if isinstance(one, BeatScored) and one.loss is None]
    assert [one.quality for one in withheld] == [["noisy"]] * 5
    (status,) = engine.report().patients
    assert (status.beats, status.anomalous, status.withheld) == (7, 1, 5)


def test_the_cut_into_messages_does_not_matter(bench: Bench, tmp_path: Path) -> None:
    """One message of many beats and many of one beat say the same."""
    losses = [5.0, 40, 5, NAN, 50, 60, 5, 5, 5, 5, 5, 5, 90]
    together = bench.engine().step([beats_message(losses), end(4000)], 0).messages
    with ExitStack() as stack:
        other = tmp_path / "other"
        other.mkdir()
        engine = Bench(other, stack).engine()
        apart = [
            one
            for index, loss in enumerate(losses)
            for one in engine.step([beats_message([loss], 100 + 250 * index)], 0).messages
        ]
        apart += engine.step([end(4000)], 0).messages
    assert [_without_journal(one) for one in apart] == [_without_journal(one) for one in together]


def _without_journal(message: Message) -> Message:
    if isinstance(message, Alert):
        return msgspec.structs.replace(message, journal="")
    return message


def test_signal_events_are_technical_alerts(bench: Bench) -> None:
    """They share the sequence, and last in the status until they are cleared."""
    engine = bench.engine()
    said = engine.step(
        [beats_message([5], events=[RecordEvent("lead_off", "onset", 50)])], 0
    ).messages
    (technical,) = [one for one in said if isinstance(one, Technical)]
    assert (technical.event, technical.sample, technical.seq) == ("lead_off", 50, 1)
    assert engine.report().patients[0].technical == ["lead_off"]
    event = RecordEvent("lead_off", "cleared", 900)
    assert states(engine.step([beats_message([], 600, events=[event])], 0).messages) == ["cleared"]
    assert engine.report().patients[0].technical == []


def test_the_end_clears_what_is_open_once(bench: Bench) -> None:
    """The episode that lasts ends with the record; a second end says nothing."""
    engine = bench.engine()
    engine.step([beats_message([40])], 0)
    assert states(engine.step([end(1000)], 0).messages) == ["cleared"]
    assert engine.step([end(1000)], 0).messages == []
    assert engine.report().patients[0].state == "ended"


def test_a_stream_that_comes_again_is_judged_anew(bench: Bench) -> None:
    """A second producer of the same name, after the end of the first, is a new patient."""
    engine = bench.engine()
    engine.step([beats_message([5, 5]), end()], 0)
    engine.step([beats_message([5], 600)], 0)
    (status,) = engine.report().patients
    assert (status.state, status.beats) == ("monitoring", 1)


def test_a_stream_that_comes_again_in_the_same_batch_is_judged_anew(bench: Bench) -> None:
    """How messages are gathered changes nothing."""
    engine = bench.engine()
    engine.step([beats_message([5, 5]), end(), beats_message([5], 600)], 0)
    (status,) = engine.report().patients
    assert (status.state, status.beats) == ("monitoring", 1)


def test_patients_are_judged_apart(bench: Bench) -> None:
    """Beats of two patients in one batch have their own episodes and thresholds."""
    engine = bench.engine()
    engine.step([beats_message([5]), beats_message([5], patient="q")], 0)
    engine.carry_out(ThresholdRequest(patient="q", value=100.0))
    said = engine.step(
        [beats_message([40], 600), beats_message([40], 600, patient="q")], 0
    ).messages
    assert [one.patient for one in said if isinstance(one, Alert)] == ["p"]


def test_thresholds_move(bench: Bench) -> None:
    """By value or by factor, for one or all, within bounds; a stranger's name is refused."""
    engine = bench.engine(threshold=20.0)
    engine.step([beats_message([5])], 0)
    engine.carry_out(ThresholdRequest(factor=2.0))
    assert engine.report().patients[0].threshold == pytest.approx(40.0)
    engine.carry_out(ThresholdRequest(patient="p", value=7.0))
    assert engine.report().patients[0].threshold == pytest.approx(7.0)
    with pytest.raises(LookupError, match="stranger"):
        engine.carry_out(ThresholdRequest(patient="stranger", value=7.0))


def test_foreign_beats_are_refused(bench: Bench) -> None:
    """Beats of another spec or length are not scored; the message says what to do."""
    engine = bench.engine()
    with pytest.raises(SpecMismatch, match="--checkpoint"):
        engine.admission.check(beats_message([5], spec=BeatSpec(window="rr").identity))
    with pytest.raises(InvalidMessage):
        engine.admission.check(beats_message([5], length=139))
    engine.admission.check(beats_message([5]))


def test_beats_that_came_before_are_refused(bench: Bench) -> None:
    """A message sent twice, or beats of a time already judged, are none; a hole is told."""
    engine = bench.engine()
    assert not engine.admission.hole_before(beats_message([5, 5]))
    with pytest.raises(InvalidMessage, match="before"):
        engine.admission.hole_before(beats_message([5, 5]))
    with pytest.raises(InvalidMessage, match="before"):
        engine.admission.hole_before(beats_message([5], 100, sequence=1))
    assert not engine.admission.hole_before(beats_message([5], 1000, sequence=1))
    assert engine.admission.hole_before(beats_message([5], 2000, sequence=3))
    engine.admission.hole_before(end())
    assert not engine.admission.hole_before(beats_message([5]))  # a new stream


def test_an_ended_patient_stays_ended_over_a_restart(bench: Bench) -> None:
    """The segmenter's empty last message does not make a new patient of it."""
    engine = bench.engine()
    bench.step(engine, beats_message([5, 40]), end())
    engine = bench.restart()
    assert engine.step([beats_message([], 600), end()], 0).messages == []
    (status,) = engine.report().patients
    assert (status.state, status.beats, status.alerts) == ("ended", 2, 1)


def test_a_threshold_cannot_be_moved_while_learning(bench: Bench) -> None:
    """What is learnt would replace it: the request is refused."""
    engine = bench.engine(learner=Trainer(), learn_s=300.0)
    engine.step([beats_message([5])], 0)
    for patient in ("p", None):
        with pytest.raises(LookupError, match="learning"):
            engine.carry_out(ThresholdRequest(patient=patient, factor=1.05))


# --- restarts ---------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", range(1, 9))
def test_a_restart_loses_and_doubles_nothing(bench: Bench, tmp_path: Path, cut: int) -> None:
    """Killed after any beat, judged on from the journal: the same alerts, numbered on."""
    losses = [5.0, 40, 5, 50, 60, 5, 5, 5, 5, 5]
    engine = bench.engine()
    for index, loss in enumerate(losses[:cut]):
        bench.step(engine, beats_message([loss], 100 + 250 * index))
    engine.step([beats_message([99.0], 100 + 250 * cut)], 0)  # said, but never committed
    engine = bench.restart()
    (reached,) = bench.journal.progress()
    assert reached.position == 100 + 250 * cut
    for index, loss in enumerate(losses[cut:], start=cut):
        bench.step(engine, beats_message([loss], 100 + 250 * index))
    kept = bench.journal.alerts_after(0, 100)
    assert [one.state for one in kept] == ["onset", "ongoing", "ongoing", "cleared"]
    assert [one.seq for one in kept] == [1, 2, 3, 4]
    assert [one.sample for one in kept] == [350, 850, 1100, 2350]


def test_a_restart_while_learning_says_nothing_twice(bench: Bench) -> None:
    """What is learnt anew comes past the same technical events: they are in the journal already."""
    event = RecordEvent("noisy", "onset", 50)
    engine = bench.engine(learner=Trainer(), learn_s=300.0)
    bench.step(engine, beats_message([5], events=[event]))
    engine = bench.restart(learner=Trainer(), learn_s=300.0)
    assert engine.step([beats_message([5], events=[event])], 0).alerts == []
    event = RecordEvent("noisy", "cleared", 900)
    alerts = engine.step([beats_message([5], 600, events=[event])], 0).alerts
    assert [one.seq for one in alerts] == [2]


def test_a_moved_threshold_survives_a_restart(bench: Bench) -> None:
    """What a person set is not forgotten."""
    engine = bench.engine()
    bench.step(engine, beats_message([5]))
    engine.carry_out(ThresholdRequest(value=77.0))
    bench.step(engine)
    assert bench.restart().report().patients[0].threshold == pytest.approx(77.0)


# --- learning ---------------------------------------------------------------------------------


class Trainer(Executor):
    """Takes the place of the thread that trains: the test says how a training ends."""

    def __init__(self) -> None:
        self.given: list[np.ndarray[Any, Any]] = []
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        (task,) = args
        assert task.rr_before_ms.shape == (len(task.beats),)
        self.given.append(task.beats)
        self.futures.append(Future())
        return self.futures[-1]

    def learnt(self, threshold: float) -> None:
        checkpoint = template_checkpoint(threshold)
        self.futures[-1].set_result(Learned(checkpoint, 10, 9, "learnt 9 of 10 beats"))


def test_learning_then_monitoring(bench: Bench) -> None:
    """Beats before the time are learnt and not judged; later ones wait for the training."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=3.0)
    said = engine.step(
        [beats_message([5, 90, NAN, 40, 5])], 0
    ).messages  # R peaks at 0.4, 1.4, 2.4, 3.4 s
    assert states(said) == []
    assert [one.threshold for one in said if isinstance(one, BeatScored)] == [None] * 3
    assert [len(beats) for beats in trainer.given] == [2]  # the noisy one is not learnt
    assert engine.learner.training
    result = engine.step([beats_message([30], 1350)], 0)
    assert (result.messages, result.progress) == ([], [])  # a restart would learn anew
    trainer.learnt(threshold=35.0)
    said = engine.step([], 0).messages
    assert [one.loss is not None for one in said if isinstance(one, BeatScored)] == [True] * 3
    assert [one.sample for one in said if isinstance(one, Alert)] == [850]
    (status,) = engine.report().patients
    assert (status.state, status.threshold) == ("monitoring", 35.0)
    assert "9 of 10" in status.note


def test_the_status_tells_how_far_a_learning_is(bench: Bench) -> None:
    """What is left while beats are collected; then how many wait for the training, and how late."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=10.0)
    engine.step([beats_message([5.0] * 5)], 0)
    (status,) = engine.report().patients
    assert status.learning == LearningStatus(left_s=4.6, beats=5)  # 1,350 samples of 2,500
    engine.step([beats_message([5.0] * 10, 1350, sent_ns=2_000_000_000)], 2_000_000_000)
    (status,) = engine.report().patients
    assert status.learning == LearningStatus(left_s=0.0, beats=10, training=True, held=5)
    engine.step([beats_message([5.0], 3850, sent_ns=8_000_000_000)], 8_500_000_000)
    engine.step([], 9_500_000_000)
    report = engine.report()
    assert report.patients[0].lag_s == report.ward.lag_s == 7.5  # of the oldest that waits
    assert report.patients[0].learning == LearningStatus(0.0, 10, training=True, held=6)
    trainer.learnt(threshold=35.0)
    engine.step([], 9_600_000_000)
    (status,) = engine.report().patients
    assert status.learning is None
    assert status.lag_s == pytest.approx(1.6)


def test_the_status_tells_whose_training_comes_first(bench: Bench) -> None:
    """One is trained at a time: who waits behind two others says so."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=3.0)
    for name in "cab":
        engine.step([beats_message([5.0] * 5, patient=name)], 0)

    def ahead() -> dict[str, int]:
        learning = {one.patient: one.learning for one in engine.report().patients}
        return {name: one.ahead for name, one in learning.items() if one is not None}

    assert ahead() == {"c": 0, "a": 1, "b": 2}
    trainer.futures[0].set_exception(CannotLearn("too mixed"))
    engine.step([], 0)
    assert ahead() == {"c": 0, "a": 0, "b": 1}


@pytest.mark.parametrize("block", [1, 2, 5])
def test_what_is_learnt_does_not_depend_on_messages(bench: Bench, block: int) -> None:
    """The R peak alone says whether a beat is learnt."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=3.0)
    for index in range(0, 10, block):
        engine.step([beats_message([5.0] * block, 100 + 250 * index)], 0)
    assert [len(beats) for beats in trainer.given] == [3]


def test_learning_in_vain_goes_on(bench: Bench) -> None:
    """Where no normal can be learnt, it says so, withholds verdicts and tries again.

    After ten seconds more, then after ever longer ones.
    """
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=3.0)
    engine.step([beats_message([5.0] * 5)], 0)
    trainer.futures[-1].set_exception(CannotLearn("too mixed"))
    engine.step([], 0)
    (status,) = engine.report().patients
    assert status.state == "learning"
    assert "too mixed" in status.note
    engine.step([beats_message([5.0] * 70, 1350)], 0)
    trainer.futures[-1].set_exception(CannotLearn("too mixed"))
    engine.step([], 0)
    assert [len(beats) for beats in trainer.given] == [3, 13, 25]


def test_a_record_that_ends_too_early_is_not_monitored_in_silence(bench: Bench) -> None:
    """The status says that nothing was judged."""
    engine = bench.engine(learner=Trainer(), learn_s=300.0)
    assert engine.step([beats_message([5.0] * 5), end()], 0).messages
    (status,) = engine.report().patients
    assert status.state == "ended"
    assert "nothing was monitored" in status.note


def test_the_end_waits_for_the_training(bench: Bench) -> None:
    """Beats and end that came during the training are judged after it."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=3.0)
    engine.step([beats_message([5.0] * 3 + [90.0]), end(1500)], 0)
    assert engine.learner.training
    trainer.learnt(threshold=35.0)
    assert states(engine.step([], 0).messages) == ["onset", "cleared"]
    assert not engine.learner.training


def test_receiving_stops_before_memory_does(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """While models are trained, only so many messages are held, of all patients together."""
    monkeypatch.setattr("monitor.detection.learner.MAX_HELD", 40)
    engine = bench.engine(learner=Trainer(), learn_s=1.0)
    for index in range(20):
        assert not engine.learner.full
        sent = [beats_message([5.0], 100 + 250 * index, patient=name) for name in ("p", "q")]
        engine.step(sent, 0)
    engine.step([beats_message([5.0], 100 + 250 * 20, patient=name) for name in ("p", "q")], 0)
    assert engine.learner.full
    assert engine.learner.let_go == 0


def test_a_source_that_does_not_wait_is_never_held_up(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest of who waits with most go without a verdict; the rest is judged when learnt."""
    monkeypatch.setattr("monitor.detection.learner.MAX_HELD", 10)
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=1.0, live=True)
    said: list[Message] = []
    for index in range(16):
        losses = [90.0] if index == 12 else [5.0]
        said += engine.step([beats_message(losses, 100 + 250 * index)], 0).messages
        assert not engine.learner.full
    let_go = engine.learner.let_go
    assert let_go > 0
    unjudged = [one.sample for one in said if isinstance(one, BeatScored)]
    assert unjudged == [100 + 250 * index for index in range(len(unjudged))]
    trainer.learnt(threshold=35.0)
    judged = [one for one in engine.step([], 0).messages if isinstance(one, BeatScored)]
    assert [one.sample for one in judged] == [
        100 + 250 * index for index in range(len(unjudged), 16)
    ]
    assert [one.anomalous for one in judged].count(True) == 1
    assert engine.report().patients[0].beats == 16


class Damaged(msgspec.Struct):
    """The state of a patient, of another program's making."""

    threshold: str = "high"


def test_a_damaged_state_is_an_error_not_a_crash(bench: Bench) -> None:
    """A patient whose state cannot be read is said in one line before anything is judged."""
    bench.engine()
    bench.journal.commit([], [Progress("p", 100, b"", Damaged())])
    with pytest.raises(JournalFailed, match="state of a patient cannot be read"):
        bench.restart()


def test_a_learnt_model_survives_a_restart(bench: Bench) -> None:
    """The learnt checkpoint is kept beside the journal and used again."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=1.0)
    engine.step([beats_message([5.0] * 3)], 0)
    trainer.learnt(threshold=35.0)
    bench.step(engine)
    engine = bench.restart(learner=Trainer(), learn_s=1.0)
    (status,) = engine.report().patients
    assert (status.state, status.threshold) == ("monitoring", 35.0)
    assert status.note == "learnt before; the journal kept the model"  # not that nothing was
    (alert,) = engine.step([beats_message([40.0], 1200)], 0).alerts
    assert isinstance(alert, Alert)
    assert alert.model == template_checkpoint(35.0).identity


def test_a_learnt_model_is_its_owner_s_and_goes_when_it_is_replaced(
    bench: Bench, tmp_path: Path
) -> None:
    """Its file is there as long as the journal names it, and no longer."""

    def learned() -> list[str]:
        return sorted(path.name[-20:] for path in tmp_path.glob("*.safetensors"))

    def named(threshold: float) -> str:
        return f"{template_checkpoint(threshold).identity}.safetensors"[-20:]

    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=1.0)
    engine.step([beats_message([5.0] * 3)], 0)
    trainer.learnt(threshold=35.0)
    bench.step(engine)
    engine.committed()
    (file,) = tmp_path.glob("*.safetensors")
    assert file.stat().st_mode & 0o777 == 0o600
    engine.carry_out(RelearnRequest("p"))
    bench.step(engine, beats_message([5.0] * 3, 2000, sequence=1))
    engine.committed()
    trainer.learnt(threshold=36.0)
    result = engine.step([], 0)
    assert learned() == sorted([named(35.0), named(36.0)])  # a restart would go on with the first
    bench.commit(result)
    engine.committed()
    assert learned() == [named(36.0)]
    left = file.with_name(file.name.replace(file.name[-20:], "0" * 8 + ".safetensors"))
    other = tmp_path / "learned-ffffffff-0.safetensors"
    for path in (left, other):
        path.write_bytes(b"of a process that was killed, and of another journal")
    bench.restart(learner=Trainer(), learn_s=1.0)
    assert not left.exists()
    assert other.exists()


def test_a_real_training_in_its_thread(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a true executor and true learning, a patient comes to be monitored."""
    monkeypatch.setattr("model.learning.TRAINED_FLOP", 1e9)
    rng = np.random.default_rng(0)
    learner = ThreadPoolExecutor(1)
    engine = bench.engine(learner=learner, learn_s=100.0)
    message = beats_message([5.0] * 110)
    noisy = message.beats.values + rng.normal(0, 0.1, message.beats.values.shape)
    beats = replace(message.beats, values=noisy.astype(np.float32))
    engine.step([BeatsMessage(message.header, beats, b"s")], 0)
    learner.shutdown(wait=True)
    engine.step([], 0)
    (status,) = engine.report().patients
    assert status.state == "monitoring"
    assert status.threshold is not None


# --- time, and learning anew ------------------------------------------------------------------


def with_early(message: BeatsMessage, row: int) -> BeatsMessage:
    """Return the message with one beat that came after half of the usual interval."""
    rr_before_ms = message.beats.rr_before_ms.copy()
    rr_before_ms[row] *= 0.55
    return message._replace(together=replace(message.beats, rr_before_ms=rr_before_ms))


def test_a_beat_in_noise_is_published_without_its_loss(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no verdict, so whoever shows it must not take it for a normal one."""

    def in_noise(
        states: Mapping[str, EvidenceState], given: Unweighed
    ) -> tuple[dict[str, EvidenceState], Weighed]:
        after, weighed = by_loss(states, given)
        weighed.early[:], weighed.doubt[1] = 0.0, 9.0
        return after, weighed

    monkeypatch.setattr("monitor.detection.engine.by_loss", in_noise)
    said = bench.engine(verdict="loss").step([beats_message([5.0, 15.0, 5.0])], 0).messages
    beats = [one for one in said if isinstance(one, BeatScored)]
    assert [one.loss is None for one in beats] == [False, True, False]
    assert [one.score is None for one in beats] == [False, True, False]
    assert beats[1].quality == ["noisy"]


def test_a_premature_beat_of_usual_shape_is_an_alert(bench: Bench) -> None:
    """Its loss is below the threshold and said as it is; what is anomalous is its time."""
    said = bench.engine().step([with_early(beats_message([15.0] * 30), 20)], 0).messages
    (alert,) = [one for one in said if isinstance(one, Alert) and one.state == "onset"]
    assert (alert.why, alert.sample) == (["premature"], 100 + 20 * 250)
    assert alert.loss == pytest.approx(15, abs=0.01)
    assert (alert.ratio or 9) < 1 < (alert.score or 0)
    (beat,) = [one for one in said if isinstance(one, BeatScored) and one.anomalous]
    assert beat.why == ["premature"]


def test_an_alert_explains_itself(bench: Bench) -> None:
    """A beat of another shape names it, and where along it the loss arose; cleared says nothing."""
    said = bench.engine().step([beats_message([5.0, 40, 5, 5, 5, 5, 5])], 0).messages
    onset, cleared = [one for one in said if isinstance(one, Alert)]
    assert onset.why == ["shape"]
    assert onset.score == pytest.approx(onset.ratio, abs=1e-3)
    assert onset.parts is not None
    assert onset.parts.p + onset.parts.qrs + onset.parts.t == pytest.approx(1, abs=0.01)
    assert (cleared.why, cleared.parts, cleared.score) == ([], None, None)


def test_the_rhythm_survives_a_restart(bench: Bench) -> None:
    """What is early is told by the beats before the restart."""
    engine = bench.engine()
    bench.step(engine, beats_message([15.0] * 30))
    said = bench.restart().step([with_early(beats_message([15.0], 7600), 0)], 0).messages
    assert [one.why for one in said if isinstance(one, Alert)] == [["premature"]]


def test_a_patient_is_learnt_anew_on_request(bench: Bench) -> None:
    """The open episode ends, verdicts are withheld, then the new normal judges."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=2.0)
    engine.step([beats_message([5.0] * 3)], 0)
    trainer.learnt(threshold=35.0)
    engine.step([beats_message([50.0], 850)], 0)  # reached: sample 1100
    assert "p" in engine.carry_out(RelearnRequest(patient="p"))
    assert states(engine.step([], 0).messages) == ["cleared"]
    assert engine.report().patients[0].state == "learning"
    with pytest.raises(LookupError, match="learning already"):
        engine.carry_out(RelearnRequest())
    assert states(engine.step([beats_message([50.0] * 3, 1110)], 0).messages) == []
    assert [len(beats) for beats in trainer.given] == [2, 2]  # until 1100 + 2 s
    trainer.learnt(threshold=60.0)
    said = engine.step([], 0).messages
    assert [one.anomalous for one in said if isinstance(one, BeatScored)] == [False]
    assert (engine.report().patients[0].state, engine.report().patients[0].threshold) == (
        "monitoring",
        60.0,
    )


def test_learning_anew_begins_again_after_a_restart(bench: Bench) -> None:
    """Killed while it lasts, it goes on from where it was asked for, and learns the same beats."""
    engine = bench.engine(learner=Trainer(), learn_s=None)
    bench.step(engine, beats_message([5.0, 40.0]))
    engine.carry_out(RelearnRequest())
    bench.step(engine, beats_message([5.0], 600))
    (reached,) = bench.journal.progress()
    assert reached.position == 600
    engine = bench.restart(learner=Trainer())
    (status,) = engine.report().patients
    assert (status.state, status.beats) == ("learning", 2)
    assert [one.state for one in bench.journal.alerts_after(0, 9) if isinstance(one, Alert)] == [
        "onset",
        "cleared",
    ]


def test_what_is_acknowledged_while_learning_anew_stays_so_over_a_restart(bench: Bench) -> None:
    """The restart begins the learning again, but does not ask to be acknowledged again."""
    engine = bench.engine(learner=Trainer(), learn_s=None)
    bench.step(engine, beats_message([400.0] * 12))
    assert engine.report().patients[0].latched
    engine.carry_out(RelearnRequest())
    bench.step(engine)
    engine.carry_out(AckRequest())
    bench.step(engine)
    (status,) = bench.restart(learner=Trainer()).report().patients
    assert (status.state, status.latched) == ("learning", False)


def test_an_end_while_learning_anew_is_kept(bench: Bench) -> None:
    """The record's end is not judged again by a run that goes on."""
    engine = bench.engine(learner=Trainer(), learn_s=None)
    bench.step(engine, beats_message([5.0, 40.0]))
    engine.carry_out(RelearnRequest())
    bench.step(engine, beats_message([5.0], 600), end())
    (status,) = bench.restart(learner=Trainer()).report().patients
    assert status.state == "ended"


def test_a_stranger_cannot_be_learnt_anew(bench: Bench) -> None:
    """Nor who has ended."""
    engine = bench.engine()
    with pytest.raises(LookupError, match="stranger"):
        engine.carry_out(RelearnRequest(patient="stranger"))
    engine.step([beats_message([5.0]), end()], 0)
    with pytest.raises(LookupError, match="nobody"):
        engine.carry_out(RelearnRequest())


def test_drift_survives_a_restart(bench: Bench, tmp_path: Path) -> None:
    """What was followed before is still taken out after: the same losses as without a restart."""
    normal = Normal(10.0, TEMPLATE[None])
    checkpoint = replace(template_checkpoint(), normal=normal)
    losses = [0.1 * n for n in range(100)]

    def judged(engine: Engine, first: int, last: int) -> list[float | None]:
        said = bench.step(engine, beats_message(losses[first:last], 100 + 250 * first))
        return [one.loss for one in said if isinstance(one, BeatScored)]

    engine = bench.engine(checkpoint)
    before = judged(engine, 0, 60)
    after = judged(bench.restart(checkpoint=checkpoint), 60, 100)
    with ExitStack() as stack:
        (tmp_path / "other").mkdir()
        bench = Bench(tmp_path / "other", stack)
        undisturbed = judged(bench.engine(checkpoint), 0, 100)
    assert before + after == undisturbed
    assert (undisturbed[-1] or 0) < losses[-1] - 1


def test_an_alert_of_a_learnt_patient_shows_its_neighbours(bench: Bench) -> None:
    """The nearest beats of what was learnt, as many as are shown, nearest first."""
    exemplars = np.stack([TEMPLATE, TEMPLATE + 0.1, TEMPLATE - 0.1, TEMPLATE + 9]).astype(
        np.float32
    )
    checkpoint = replace(template_checkpoint(), normal=Normal(10.0, exemplars))
    said = bench.engine(checkpoint, verdict="loss").step([beats_message([60.0])], 0).messages
    (alert,) = [one for one in said if isinstance(one, Alert)]
    distances = [one.distance for one in alert.neighbours]
    assert len(distances) == 3
    assert distances == sorted(distances)
    assert len(alert.neighbours[0].beat) == 140


def test_a_restart_judges_nothing_twice_behind_an_older_segmenter_state(bench: Bench) -> None:
    """The segmenter goes back to its last state; the beats that come again are passed over."""
    engine, undisturbed = bench.engine(), [5.0, 40, 5, 5, 5, 5, 5, 40, 5]
    bench.step(engine, beats_message(undisturbed[:1]))
    later = beats_message(undisturbed[1:4], 350, sequence=1)._replace(state=b"")
    assert states(bench.step(engine, later)) == ["onset"]
    engine = bench.restart()
    (reached,) = bench.journal.progress()
    assert (reached.position, reached.segmenter_state) == (350, b"segmenter state")
    again = beats_message(undisturbed[1:], 350, sequence=1)
    said = engine.step([again], now_ns=0).messages
    assert [one.sample for one in said if isinstance(one, BeatScored)] == [
        100 + 250 * k for k in range(4, 9)
    ]
    assert states(said) == ["cleared", "onset"]
    assert [one.seq for one in said if isinstance(one, Alert)] == [2, 3]
    assert engine.report().patients[0].beats == len(undisturbed)


def test_only_states_and_alerts_are_journaled(bench: Bench) -> None:
    """Beats in between can be judged again; so a ward's progress is written in turn."""
    engine = bench.engine()
    assert len(engine.step([beats_message([5])], now_ns=0).progress) == 1
    without_state = beats_message([5], 350, sequence=1)._replace(state=b"")
    assert engine.step([without_state], now_ns=0).progress == []
    with_alert = beats_message([50], 600, sequence=2)._replace(state=b"")
    (reached,) = engine.step([with_alert], now_ns=0).progress
    assert (reached.position, reached.segmenter_state) == (350, b"segmenter state")


def test_a_heartbeat_speaks_of_many_patients_in_turn(bench: Bench) -> None:
    """Its size is bounded; everybody has a turn, and the counts are of all."""
    engine, names = bench.engine(), [f"p{number}" for number in range(7)]
    for name in names:
        engine.step([beats_message([5], patient=name, sent_ns=1)], now_ns=2_000_000_001)
    engine.step([end(patient="p3")], now_ns=0)
    turns = [[one.patient for one in engine.report(3).patients] for _ in range(5)]
    assert [len(turn) for turn in turns] == [3] * 5
    assert {name for turn in turns[:3] for name in turn} == set(names)
    assert [one.patient for one in engine.report().patients] == names
    ward = engine.report().ward
    assert (ward.monitoring, ward.ended, ward.learning, ward.beats) == (6, 1, 0, 7)
    assert ward.lag_s == pytest.approx(2.0)


def test_the_lag_of_a_step_is_that_of_who_waited_longest(bench: Bench) -> None:
    """By it the consumer knows when to stop telling beats."""
    engine = bench.engine()
    both = [beats_message([5], patient="a", sent_ns=0), beats_message([5], patient="b", sent_ns=9)]
    assert engine.step(both, now_ns=3_000_000_000).lag_s == pytest.approx(3.0)
    assert engine.step([], now_ns=9_000_000_000).lag_s == 0.0


def come_and_go(bench: Bench, engine: Engine, names: list[str]) -> None:
    """Have patients come one after the other, each for a beat."""
    for name in names:
        message = beats_message([5.0], patient=name)
        engine.admission.check(message)
        bench.step(engine, message, end(patient=name))
        bench.journal.forget(engine.committed())


def test_the_longest_ended_leave_when_others_need_the_room(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Admissions never end a monitor: the bound is of those who are there at a time."""
    monkeypatch.setattr("monitor.detection.admission.MAX_PATIENTS", 3)
    engine = bench.engine()
    come_and_go(bench, engine, ["a", "b", "c", "d", "e"])
    assert [one.patient for one in engine.report().patients] == ["c", "d", "e"]
    assert [one.patient for one in bench.journal.progress()] == ["c", "d", "e"]
    come_and_go(bench, engine, ["a", "d"])  # they come again, as new patients
    assert {one.patient: one.beats for one in engine.report().patients} == {"e": 1, "a": 1, "d": 1}


def test_whoever_is_monitored_is_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor who has ended, before that is journaled: then the new one is refused, and counted."""
    monkeypatch.setattr("monitor.detection.admission.MAX_PATIENTS", 3)
    engine = bench.engine()
    bench.step(engine, *(beats_message([5.0], patient=name) for name in "abc"))
    bench.step(engine, end(patient="b"))
    new = beats_message([5.0], patient="d")
    with pytest.raises(InvalidMessage, match="more than 3 patients"):
        engine.admission.check(new)
    assert engine.admission.refused == 1
    engine.committed()
    engine.admission.check(new)
    bench.step(engine, new)
    assert [one.patient for one in engine.report().patients] == ["a", "c", "d"]
    with pytest.raises(InvalidMessage):
        engine.admission.check(beats_message([5.0], patient="e"))
    assert engine.admission.refused == 2


def test_a_restart_goes_on_with_who_was_not_forgotten(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those whom the journal holds as ended leave first; it keeps a record that was announced."""
    monkeypatch.setattr("monitor.detection.admission.MAX_PATIENTS", 3)
    engine = bench.engine()
    come_and_go(bench, engine, ["p", "a", "b"])
    bench.step(engine, beats_message([5.0] * 4, patient="c"))  # p is forgotten, the journal has it
    assert [one.patient for one in bench.journal.progress()] == ["p", "a", "b", "c"]
    engine = bench.restart()
    assert engine.report().patients[0].state == "ended"
    come_and_go(bench, engine, ["d", "e"])
    bench.step(engine, beats_message([5.0], 1100, patient="c", sequence=1))
    counts = {one.patient: one.beats for one in engine.report().patients}
    assert counts["c"] == 5
    assert len(counts) <= 3
