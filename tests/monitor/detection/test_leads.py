"""A patient of several leads: one verdict; a lead that fails is left out and reported."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from model.checkpoint import Checkpoint
from model.errors import CannotLearn
from model.learning import Learned
from model.tracking import Normal
from monitor.detection.engine import Engine
from monitor.detection.patient_state import read_saved
from monitor.journal.writer import Progress
from monitor.wire.messages import (
    Alert,
    BeatScored,
    BeatsMessage,
    EndHeader,
    Message,
    PatientStatus,
    RecordEvent,
    RelearnRequest,
    Stream,
    Technical,
    ThresholdRequest,
)
from tests.monitor.checkpoints import TEMPLATE, beats_of_losses, template_checkpoint, values_at
from tests.monitor.detection.test_engine import Bench, Trainer, beats_message, end, message_of

NAN = float("nan")
LEADS = ["MLII", "V5"]
HIGH, LOW = 90.0, 5.0


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def two_leads(
    losses: list[list[float]],
    first: int = 100,
    events: list[RecordEvent] | None = None,
    **more: Any,
) -> BeatsMessage:
    """Return beats of losses in each of two leads."""
    changes = {"patient": "q", "leads": LEADS, "first": first, **more}
    return message_of(beats_of_losses(losses, first), events, **changes)


def status(engine: Engine) -> PatientStatus:
    (one,) = engine.report().patients
    return one


def alerts(said: list[Message]) -> list[Alert]:
    return [one for one in said if isinstance(one, Alert)]


def technicals(said: list[Message]) -> list[tuple[str, str, str, int]]:
    found = [one for one in said if isinstance(one, Technical)]
    return [(one.event, one.state, one.lead, one.sample) for one in found]


# --- one verdict ------------------------------------------------------------------------------


class Case(NamedTuple):
    """The losses of a beat, by a threshold of 26, and what is said of it."""

    losses: list[float]
    anomalous: bool
    lead: str
    leads: list[str]


@pytest.mark.parametrize(
    "case",
    [
        Case([LOW, LOW + 1], False, "V5", []),
        Case([40.0, LOW], True, "MLII", ["MLII"]),
        Case([LOW, 40.0], True, "V5", ["V5"]),
        Case([30.0, 40.0], True, "V5", ["MLII", "V5"]),
        Case([NAN, 40.0], True, "V5", ["V5"]),
        Case([LOW, NAN], False, "MLII", []),
        Case([NAN, NAN], False, "MLII, V5", []),
    ],
)
def test_a_beat_is_anomalous_where_it_is_in_one_lead(bench: Bench, case: Case) -> None:
    """The message is of the worst lead, with each loss; the alert names those that stand out."""
    said = bench.engine().step([two_leads([[LOW, LOW]] * 20 + [case.losses])], 0).messages
    beat = [one for one in said if isinstance(one, BeatScored)][-1]
    assert (beat.anomalous, beat.lead) == (case.anomalous, case.lead)
    assert [np.nan if one is None else round(one, 1) for one in beat.losses] == pytest.approx(
        case.losses, nan_ok=True
    )
    readable = [one for one in beat.losses if one is not None]
    assert beat.loss == max(readable, default=None)
    assert [(one.lead, one.leads) for one in alerts(said)] == (
        [(case.lead, case.leads)] if case.anomalous else []
    )
    for one in alerts(said):
        worst = max(readable)
        assert one.loss == worst
        assert one.ratio == pytest.approx(worst / 26, abs=1e-3)
        shown = values_at(np.array(worst / 140))
        np.testing.assert_allclose(one.beat, shown, atol=2e-3)
        np.testing.assert_allclose(one.reconstruction, TEMPLATE, atol=2e-3)


def test_what_ends_is_of_the_lead_that_was_the_worst(bench: Bench) -> None:
    """Its peak is the loss that exceeded its own lead's threshold most."""
    beats = [[LOW, LOW]] * 20 + [[40.0, LOW], [LOW, 60.0], [50.0, LOW]] + [[LOW, LOW]] * 5
    *_, cleared = alerts(bench.engine().step([two_leads(beats)], 0).messages)
    assert (cleared.state, cleared.lead, cleared.loss) == ("cleared", "V5", 60.0)


def test_a_lead_that_cannot_be_read_changes_nothing(bench: Bench, tmp_path: Path) -> None:
    """To the bit, what is said of a patient of one lead is said of two of which one is noise."""
    rng = np.random.default_rng(1)
    losses = rng.uniform(0, 40, 200).tolist()
    alone = bench.engine().step([beats_message(losses, patient="q", leads=["MLII"])], 0).messages
    with ExitStack() as stack:
        (tmp_path / "other").mkdir()
        other = Bench(tmp_path / "other", stack).engine()
        both = other.step([two_leads([[loss, NAN] for loss in losses])], 0).messages
    assert [one.anomalous for one in both if isinstance(one, BeatScored)].count(True) > 20
    for one, expected in zip(both, alone, strict=True):
        changes: dict[str, Any] = {"losses": []} if isinstance(one, BeatScored) else {}
        changes |= {"journal": ""} if isinstance(one, Alert) else {}
        before = msgspec.structs.replace(expected, **changes)
        assert msgspec.structs.replace(one, **changes) == before


def test_leads_and_patients_of_one_model_are_scored_as_they_are_alone(bench: Bench) -> None:
    """Patients of one lead, of two, and of two in another message, all in one step."""
    engine = bench.engine()
    bench.step(engine, two_leads([[LOW, LOW]] * 20))
    parts = [two_leads([[LOW, 40.0]], 6000), beats_message([30.0]), two_leads([[50.0, LOW]], 6250)]
    said = engine.step(parts, 0).messages
    beats = [one for one in said if isinstance(one, BeatScored)]
    assert [(one.patient, one.lead, one.loss, one.losses) for one in beats] == [
        ("q", "V5", 40.0, [LOW, 40.0]),
        ("p", "I", 30.0, []),
        ("q", "MLII", 50.0, [50.0, LOW]),
    ]


def test_all_thresholds_move_alike(bench: Bench) -> None:
    """By value or by factor, and over a restart; the one that is shown is the first lead's."""
    engine = learnt(bench, [template_checkpoint(20.0), template_checkpoint(60.0)])
    engine.carry_out(ThresholdRequest(patient="q", value=30.0))
    assert engine.judging("q").thresholds == pytest.approx((30.0, 90.0))
    engine.carry_out(ThresholdRequest(factor=2.0))
    bench.step(engine)
    engine = bench.restart()
    engine.expect([stream()])
    assert engine.judging("q").thresholds == pytest.approx((60.0, 180.0))
    assert status_of(engine, "q").threshold == pytest.approx(60.0)


# --- a lead that fails --------------------------------------------------------------------------


def left_out(state: Any, sample: int, *leads: str) -> RecordEvent:
    return RecordEvent("lead_left_out", state, sample, [*leads])


def test_a_lead_that_is_left_out_is_reported_and_the_others_are_judged(bench: Bench) -> None:
    """The heart rate stays, verdicts go on; the status names the lead, also after a restart."""
    engine = bench.engine()
    bench.step(engine, two_leads([[LOW, LOW]] * 20))
    message = two_leads([[40.0, NAN]] * 8, 5100, [left_out("onset", 5000, "V5")])
    said = bench.step(engine, message)
    assert technicals(said) == [("lead_left_out", "onset", "V5", 5000)]
    assert next(one.leads for one in alerts(said)) == ["MLII"]
    for now in (engine, bench.restart()):
        now.expect([stream()])
        one = status_of(now, "q")
        assert (one.lead, one.leads, one.left_out) == ("MLII, V5", LEADS, ["V5"])
        assert one.technical == ["lead_left_out"]
    assert status_of(engine, "q").heart_rate_bpm == pytest.approx(60)
    said = bench.step(now, two_leads([[LOW, LOW]], 7100, [left_out("cleared", 7000, "V5")]))
    assert technicals(said) == [("lead_left_out", "cleared", "V5", 7000)]
    assert (status_of(now, "q").left_out, status_of(now, "q").technical) == ([], [])


def test_each_lead_is_reported_by_itself(bench: Bench) -> None:
    """Two at the same sample are two alerts; one that is out already is not reported again."""
    engine = bench.engine()
    events = [
        left_out("onset", 50, "V5"),
        left_out("onset", 50, "MLII", "V5"),
        left_out("cleared", 90, "V5"),
    ]
    assert technicals(bench.step(engine, two_leads([[LOW, LOW]], events=events))) == [
        ("lead_left_out", "onset", "V5", 50),
        ("lead_left_out", "onset", "MLII", 50),
        ("lead_left_out", "cleared", "V5", 90),
    ]
    assert status_of(engine, "q").technical == ["lead_left_out"]


def test_a_new_stretch_has_no_lead_left_out(bench: Bench) -> None:
    """What lasted of the signal before is over."""
    engine = bench.engine()
    bench.step(engine, two_leads([[LOW, NAN]], events=[left_out("onset", 50, "V5")]))
    said = bench.step(engine, two_leads([[LOW, LOW]], stretch=1))
    assert ("lead_left_out", "cleared") in [one[:2] for one in technicals(said)]
    assert status_of(engine, "q").left_out == []


def test_other_leads_begin_anew_behind_a_restart(bench: Bench) -> None:
    """What was learnt and followed is of the leads before, whose episode ends; time goes on."""
    engine = bench.engine()
    bench.step(engine, two_leads([[LOW, LOW]] * 19 + [[LOW, HIGH]]))
    engine = bench.restart()
    said = bench.step(engine, two_leads([[LOW]] * 2, 5100, leads=["V5"]))
    assert [(one.state, one.lead) for one in alerts(said)] == [("cleared", "V5")]
    assert [one.losses for one in said if isinstance(one, BeatScored)] == [[], []]
    one = status_of(engine, "q")
    assert (one.lead, one.beats, one.position) == ("V5", 2, 5600)


# --- a model that does not fit a lead -----------------------------------------------------------


def test_a_lead_that_the_model_does_not_know_is_left_out(bench: Bench) -> None:
    """From its first beats where another lead's fit; reported once it is decided."""
    engine = bench.engine()
    said = bench.step(engine, two_leads([[LOW, HIGH]] * 30))
    assert technicals(said) == [("lead_left_out", "onset", "V5", 100 + 250 * 19)]
    assert alerts(said) == []
    assert status_of(engine, "q").left_out == ["V5"]
    said = bench.step(engine, two_leads([[HIGH, LOW]], 7600))
    assert [one.leads for one in alerts(said)] == [["MLII"]]
    (text,) = [one.text for one in bench.journal.alerts_after(0, 9) if isinstance(one, Technical)]
    assert text == "lead V5 is left out of the verdicts: its model does not fit"


def test_where_no_lead_fits_the_model_does_not(bench: Bench) -> None:
    """One alert, of the patient; the verdicts raise none."""
    engine = bench.engine()
    said = bench.step(engine, two_leads([[HIGH, HIGH]] * 30))
    assert technicals(said) == [("model_unfit", "onset", "MLII, V5", 100 + 250 * 19)]
    assert [one.state for one in alerts(said)][-1] == "cleared"
    one = status_of(engine, "q")
    assert (one.technical, one.left_out) == (["model_unfit"], [])


def test_a_lead_that_was_never_read_tells_nothing_of_the_model(bench: Bench) -> None:
    """The other lead's beats are all anomalous: the model does not fit the patient."""
    said = bench.step(bench.engine(), two_leads([[HIGH, NAN]] * 30))
    assert [one[:2] for one in technicals(said)] == [("model_unfit", "onset")]


def test_a_moved_threshold_gives_a_lead_another_chance(bench: Bench) -> None:
    """It is judged again, by the new one."""
    engine = bench.engine()
    bench.step(engine, two_leads([[LOW, HIGH]] * 30))
    engine.carry_out(ThresholdRequest(patient="q", value=200.0))
    said = bench.step(engine, two_leads([[LOW, HIGH]] * 30, 7600))
    assert [one[:3] for one in technicals(said)] == [("lead_left_out", "cleared", "V5")]
    assert status_of(engine, "q").left_out == []


# --- learning -----------------------------------------------------------------------------------


def stream(patient: str = "q") -> Stream:
    return Stream(patient, "r", LEADS, 250.0, 0, 100_000)


def status_of(engine: Engine, name: str) -> PatientStatus:
    (one,) = [one for one in engine.report().patients if one.patient == name]
    return one


def learnt(bench: Bench, outcomes: list[Checkpoint | CannotLearn], **settings: Any) -> Engine:
    """Return an engine whose patient q was learnt: what became of each lead."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=1.0, **settings)
    bench.step(engine, two_leads([[LOW, LOW]] * 3))
    finish(trainer, outcomes)
    bench.step(engine)
    return engine


def finish(trainer: Trainer, outcomes: list[Checkpoint | CannotLearn]) -> None:
    for future, one in zip(trainer.futures[-len(outcomes) :], outcomes, strict=True):
        if isinstance(one, CannotLearn):
            future.set_exception(one)
        else:
            future.set_result(Learned(one, 10, 9, "learnt 9 of 10 beats"))


def test_each_lead_is_learnt_from_its_own_beats(bench: Bench) -> None:
    """Those of it that can be read; the patient is monitored when the last training has ended."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=3.0)
    bench.step(engine, two_leads([[1.4, 2.8], [NAN, 2.8], [1.4, NAN], [LOW, LOW]]))
    np.testing.assert_allclose(trainer.given[0], values_at(np.array([0.01] * 2)), rtol=1e-5)
    np.testing.assert_allclose(trainer.given[1], values_at(np.array([0.02] * 2)), rtol=1e-5)
    trainer.futures[1].set_result(Learned(template_checkpoint(60.0), 10, 9, "learnt"))
    bench.step(engine)
    assert status_of(engine, "q").state == "learning"
    trainer.futures[0].set_result(Learned(template_checkpoint(20.0), 10, 9, "learnt"))
    bench.step(engine)
    assert status_of(engine, "q").state == "monitoring"
    assert engine.judging("q").thresholds == (20.0, 60.0)


@pytest.mark.parametrize("failing", [0, 1])
def test_a_lead_that_cannot_be_learnt_is_left_out(bench: Bench, failing: int) -> None:
    """The note and the status say so; the other is judged, also after a restart."""
    judged = 1 - failing
    outcomes: list[Checkpoint | CannotLearn] = [template_checkpoint(35.0)] * 2
    outcomes[failing] = CannotLearn("too mixed")
    engine = learnt(bench, outcomes)
    assert f"{LEADS[failing]} is left out: too mixed" in status_of(engine, "q").note
    for now in (engine, bench.restart(learner=Trainer(), learn_s=1.0)):
        now.expect([stream()])
        one = status_of(now, "q")
        assert (one.state, one.threshold, one.left_out) == ("monitoring", 35.0, [LEADS[failing]])
    losses = [HIGH, HIGH]
    said = bench.step(now, two_leads([losses, [NAN, NAN]], 2000))
    (alert,) = alerts(said)
    assert (alert.lead, alert.leads, alert.threshold) == (LEADS[judged], [LEADS[judged]], 35.0)
    beats = [one for one in said if isinstance(one, BeatScored)]
    assert [one is None for one in beats[0].losses] == [lead == failing for lead in (0, 1)]
    assert (beats[1].loss, beats[1].threshold) == (None, 35.0)


def test_a_lead_that_can_be_read_but_was_not_learnt_is_not_called_judged(bench: Bench) -> None:
    """An electrode that was put on behind the learning: nothing is known of its beats."""
    now = learnt(bench, [template_checkpoint(35.0), CannotLearn("0 beats")])
    said = bench.step(now, two_leads([[LOW, NAN]], 9_000, [left_out("onset", 8_900, "V5")]))
    said += bench.step(now, two_leads([[LOW, LOW]], 9_500, [left_out("cleared", 9_400, "V5")]))
    assert not any(event == "lead_left_out" for event, *_ in technicals(said))
    assert status_of(now, "q").left_out == ["V5"]


def test_a_lead_that_was_not_learnt_is_reported_until_it_is(bench: Bench) -> None:
    """From the end of the learning on, with the reason; over a restart, until learnt anew."""
    trainer = Trainer()
    engine = bench.engine(learner=trainer, learn_s=1.0)
    bench.step(engine, two_leads([[LOW, LOW]] * 3))
    finish(trainer, [template_checkpoint(35.0), CannotLearn("too mixed")])
    said = bench.step(engine, two_leads([[LOW, LOW]], 1000))
    assert technicals(said) == [("lead_left_out", "onset", "V5", 250)]
    (text,) = [one.text for one in said if isinstance(one, Technical)]
    assert text == "lead V5 is left out of the verdicts: it could not be learnt: too mixed"
    for outcome in (CannotLearn("flat"), template_checkpoint(30.0)):
        trainer = Trainer()
        engine = bench.restart(learner=trainer, learn_s=1.0)
        engine.expect([stream()])
        assert status_of(engine, "q").technical == ["lead_left_out"]
        engine.carry_out(RelearnRequest("q"))
        from_sample = status_of(engine, "q").position
        said = bench.step(engine, two_leads([[LOW, LOW]] * 4, from_sample))
        finish(trainer, [template_checkpoint(35.0), outcome])
        said += bench.step(engine, two_leads([[LOW, LOW]], from_sample + 1000))
        is_learnt = not isinstance(outcome, CannotLearn)
        states = [(event, state, lead) for event, state, lead, _ in technicals(said)]
        assert states == [("lead_left_out", "cleared", "V5")] * is_learnt
    assert (status_of(engine, "q").technical, status_of(engine, "q").left_out) == ([], [])


def test_a_journal_that_was_not_told_of_a_lead_goes_on(bench: Bench) -> None:
    """Once nothing was raised for a lead that was not learnt; the status says it all the same."""
    engine = learnt(bench, [template_checkpoint(35.0), CannotLearn("too mixed")])
    bench.step(engine, two_leads([[LOW, LOW]], 1000))
    (progress,) = [one for one in bench.journal.progress() if one.patient == "q"]
    saved = read_saved(progress.consumer_state, None)
    before = msgspec.structs.replace(saved.alert_state, technical=())
    saved = msgspec.structs.replace(saved, alert_state=before)
    stored = Progress("q", progress.position, progress.segmenter_state, saved)
    bench.journal.commit([], [stored])
    engine = bench.restart(learner=Trainer(), learn_s=1.0)
    engine.expect([stream()])
    assert status_of(engine, "q").left_out == ["V5"]


def test_a_patient_of_whom_no_lead_can_be_learnt_is_learnt_on(bench: Bench) -> None:
    """It says why of each lead, and is not monitored."""
    engine = learnt(bench, [CannotLearn("too mixed"), CannotLearn("flat")])
    one = status_of(engine, "q")
    assert one.state == "learning"
    assert "MLII is left out: too mixed; V5 is left out: flat" in one.note


def test_models_of_a_patient_go_when_they_are_replaced(bench: Bench, tmp_path: Path) -> None:
    """Each as long as the journal names it, also where one lead's new model was another's."""
    engine = learnt(bench, [template_checkpoint(20.0), template_checkpoint(60.0)])
    engine.committed()
    assert len(list(tmp_path.glob("*.safetensors"))) == 2
    trainer = Trainer()
    engine = bench.restart(learner=trainer, learn_s=1.0)
    engine.expect([stream()])
    engine.carry_out(RelearnRequest("q"))
    bench.step(engine, two_leads([[LOW, LOW]] * 4, 2000))
    finish(trainer, [template_checkpoint(60.0), CannotLearn("too mixed")])
    bench.step(engine)
    engine.committed()
    (file,) = tmp_path.glob("*.safetensors")
    assert file.name.endswith(f"{template_checkpoint(60.0).identity}.safetensors")


# --- restarts and cuts --------------------------------------------------------------------------


def followed(threshold: float) -> Checkpoint:
    """Return a learnt model, whose template follows the patient."""
    normal = Normal(reach=8.0, exemplars=TEMPLATE[None])
    return replace(template_checkpoint(threshold), normal=normal)


def some_losses(n: int) -> list[list[float]]:
    """Return losses of which one lead is unreadable now and then, and drifts."""
    rng = np.random.default_rng(4)
    losses = rng.uniform(0, 30, (n, 2)) + np.linspace(0, 6, n)[:, None]
    losses[rng.random((n, 2)) < 0.1] = np.nan
    return [[float(value) for value in row] for row in losses]


def parts_of(losses: list[list[float]], first: int, size: int) -> list[BeatsMessage]:
    places = range(0, len(losses), size)
    return [two_leads(losses[at : at + size], first + 250 * at) for at in places]


def comparable(messages: list[Message]) -> list[Message]:
    return [
        msgspec.structs.replace(one, journal="") if isinstance(one, Alert | Technical) else one
        for one in messages
    ]


@pytest.mark.parametrize("is_learnt", [False, True])
@pytest.mark.parametrize("size", [1, 7, 20])
def test_no_cut_and_no_restart_changes_a_verdict(
    bench: Bench, tmp_path: Path, size: int, is_learnt: bool
) -> None:
    """Many beats in a message or one, killed after each or never: the same, to the bit."""
    losses = some_losses(60) + [[LOW, HIGH]] * 25
    outcomes: list[Checkpoint | CannotLearn] = [followed(25.0), followed(30.0)]
    with ExitStack() as stack:
        (tmp_path / "whole").mkdir()
        whole = Bench(tmp_path / "whole", stack)
        engine = learnt(whole, outcomes) if is_learnt else whole.engine()
        messages: list[BeatsMessage | EndHeader] = [two_leads(losses, 1000), end(patient="q")]
        expected = whole.step(engine, *messages)
    engine = learnt(bench, outcomes) if is_learnt else bench.engine()
    said: list[Message] = []
    learner = {"learner": Trainer(), "learn_s": 1.0} if is_learnt else {}
    for part in parts_of(losses, 1000, size):
        said += bench.step(engine, part)
        engine = bench.restart(**learner)
        engine.expect([stream()])
    said += bench.step(engine, end(patient="q"))
    assert comparable(said) == comparable(expected)
    assert len(alerts(said)) > 20
