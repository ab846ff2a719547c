"""One way to learn and to judge: a record gives the same wherever it is judged."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
import wfdb

from model.checkpoint import Checkpoint, save_checkpoint
from model.errors import CannotLearn
from monitor.offline.annotate import annotate_records
from monitor.offline.patients_run import PatientsOptions
from monitor.offline.patients_run import run as evaluate_patients
from monitor.offline.record_judge import Hear, Judged, JudgeSettings, judge_record
from monitor.offline.worker_processes import with_spare_core
from monitor.offline.workers import Workers
from monitor.sources.scenario_record import scenario_record
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from monitor.step_result import StepResult
from monitor.wire.messages import Alert, BeatScored, Message, Technical
from tests.monitor.checkpoints import template_checkpoint
from tests.monitor.in_process import in_process
from tests.monitor.offline.labelled import episodes_of

LEARN_S = 90.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two records of four minutes and a small model to begin with."""
    folder = tmp_path_factory.mktemp("records")
    for name, seed in (("a", 1), ("b", 2)):
        settings = SimulationSettings(hours=240 / 3600, seed=seed, anomaly_rate=0.05)
        write_record(folder / name, settings)
    save_checkpoint(template_checkpoint(), folder / "base.st")
    return folder


@pytest.fixture(scope="module")
def judged(folder: Path) -> Judged:
    with WfdbRecord.open(folder / "a") as record:
        return judge_record(record, template_checkpoint(), JudgeSettings(learn_s=LEARN_S))


def anomalies(folder: Path, name: str = "a") -> list[int]:
    return [int(sample) for sample in wfdb.rdann(str(folder / name), "alm").sample]


def identities(judged: Judged) -> list[str | None]:
    return [None if one is None else one.identity for one in judged.models]


def samples_of(judged: Judged) -> list[int]:
    return [int(sample) for sample in judged.beats.r_sample[judged.anomalous]]


def test_a_record_has_anomalies_behind_its_learning(judged: Judged) -> None:
    """Otherwise that all agree on them would say nothing."""
    assert len(samples_of(judged)) > 3
    assert judged.learnt_until == LEARN_S * 250
    assert min(samples_of(judged)) >= judged.learnt_until
    assert np.isnan(judged.loss[judged.beats.r_sample < judged.learnt_until]).all()


def test_the_engine_of_a_replay_says_the_same(folder: Path, judged: Judged) -> None:
    """In blocks as they come, with the training beside them: model, threshold, beats and alerts.

    Named alarms are the replay's alone.
    """
    with (
        WfdbRecord.open(folder / "a") as record,
        in_process(record.fs_hz, leads=record.leads, learn_s=LEARN_S) as patient,
    ):
        said = []
        for start in range(0, record.n_samples, 777):
            said += patient.send(record.read(start, min(start + 777, record.n_samples)))
        while patient.engine.learner.training:
            time.sleep(0.01)  # a loop without a pause keeps the interpreter's lock
            said += patient.engine.step([], 0).messages
        said += patient.end()
        judging = patient.engine.judging("p")
    models = [None if one is None else one.identity for one in judging.models]
    assert models == identities(judged)
    assert judging.thresholds == tuple(judged.thresholds)
    beats = [one for one in said if isinstance(one, BeatScored)]
    assert [one.sample for one in beats] == judged.beats.r_sample.tolist()
    assert [one.sample for one in beats if one.anomalous] == samples_of(judged)
    alerts = [one for one in said if isinstance(one, Alert) and one.kind == "anomalous_beats"]
    assert [one.episode_start_sample for one in alerts if one.state == "onset"] == [
        one.first_sample for one in judged.episodes
    ]
    assert {one.sample for one in alerts if one.state == "ongoing"} <= {*samples_of(judged)}
    losses = [np.nan if one.loss is None else one.loss for one in beats]
    has_verdict = np.isfinite(judged.ratio)  # a beat in noise has losses, and none is published
    np.testing.assert_array_equal(losses, np.where(has_verdict, np.round(judged.loss, 3), np.nan))


def test_who_hears_the_steps_hears_what_a_monitor_says(tmp_path: Path) -> None:
    """The same alerts, named alarms and technical ones; the same beats are kept beside them."""
    heard: list[Alert | Technical] = []
    kept: list[int] = []

    def hear(result: StepResult[Message]) -> None:
        heard.extend(result.alerts)
        kept.extend(beat.sample for beat in result.kept)

    settings = JudgeSettings()
    with WfdbRecord.open(scenario_record("night", tmp_path)) as record:
        judge_record(record, template_checkpoint(), settings, hear=hear)
        with in_process(record.fs_hz, leads=record.leads) as patient:
            said = []
            for start in range(0, record.n_samples, 777):
                said += patient.send(record.read(start, min(start + 777, record.n_samples)))
            said += patient.end()
    published = [one for one in said if isinstance(one, Alert | Technical)]
    assert sorted(map(_what, heard)) == sorted(map(_what, published))
    assert {one.kind for one in heard if isinstance(one, Alert)} > {"asystole", "pause"}
    assert {one.sample for one in heard if isinstance(one, Alert) and one.beat} <= {*kept}


def _what(one: Alert | Technical) -> tuple[str, str, int]:
    about = one.kind if isinstance(one, Alert) else one.event
    return about, one.state, one.sample


@pytest.mark.parametrize("hears", [False, True])
def test_a_spare_core_changes_nothing(folder: Path, hears: bool) -> None:
    """The record is segmented in another process; all that is found is the same to the bit."""
    heard: dict[bool, list[Message]] = {False: [], True: []}
    found: dict[bool, Judged] = {}
    n_processes: set[tuple[bool, int]] = set()

    def hear_for(spare: bool) -> Hear:
        def hear(result: StepResult[Message]) -> None:
            heard[spare].extend((*result.messages, *result.alerts))
            n_processes.add((spare, len(multiprocessing.active_children())))

        return hear

    settings = JudgeSettings(learn_s=LEARN_S)
    for spare in (False, True):
        with with_spare_core(spare), WfdbRecord.open(folder / "a") as record:
            found[spare] = judge_record(
                record,
                template_checkpoint(),
                settings,
                keep_values=True,
                hear=hear_for(spare) if hears else None,
            )
    assert ((True, 1) in n_processes) == hears  # it leaves when all is found
    assert (False, 1) not in n_processes
    assert [encoded(one) for one in heard[True]] == [encoded(one) for one in heard[False]]
    for name, value in vars(found[False].beats).items():
        np.testing.assert_array_equal(vars(found[True].beats)[name], value)
    for name in ("losses", "worst", "ratio", "anomalous", "thresholds"):
        np.testing.assert_array_equal(getattr(found[True], name), getattr(found[False], name))
    assert identities(found[True]) == identities(found[False])
    assert found[True].episodes == found[False].episodes
    assert found[True].status == found[False].status


def encoded(message: Message) -> bytes:
    return msgspec.json.encode(message)


@pytest.mark.parametrize(("names", "jobs"), [(["a"], 1), (["a"], 2), (["b", "a"], 2)])
def test_annotate_says_the_same(
    folder: Path, judged: Judged, tmp_path: Path, names: list[str], jobs: int
) -> None:
    """Whatever other records are named, in however many processes."""
    records = [folder / name for name in names]
    results = annotate_records(
        records, tmp_path, workers=Workers(jobs), checkpoint=folder / "base.st", learn_s=LEARN_S
    )
    assert [one.error for one in results] == [None] * len(names)
    assert anomalies(tmp_path) == samples_of(judged)


def test_episodes_are_the_alerts_that_began(folder: Path) -> None:
    """From the first to the last of their beats, as the alert machine makes them of verdicts."""
    settings = JudgeSettings(learn_s=LEARN_S, verdict="loss")
    with WfdbRecord.open(folder / "a") as record:
        judged = judge_record(record, template_checkpoint(), settings)
    assert len(judged.episodes) > 1
    assert judged.episodes == episodes_of(judged.beats.r_sample, judged.ratio)
    ends = {sample for one in judged.episodes for sample in one}
    assert ends <= {*samples_of(judged)}


def test_evaluate_says_the_same(folder: Path, judged: Judged) -> None:
    """Its threshold is that of the monitor."""
    options = PatientsOptions(
        folder, ("a",), LEARN_S, checkpoint=folder / "base.st", workers=Workers(1), ref_ext="ecg"
    )
    (result,) = evaluate_patients(options, lambda *_: None)
    assert (result.note, result.threshold) == (judged.note, judged.threshold)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_do_not_matter(folder: Path, judged: Judged, n_threads: int) -> None:
    """Torch adds in another order in each number of threads: a training has one."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        with WfdbRecord.open(folder / "a") as record:
            again = judge_record(record, template_checkpoint(), JudgeSettings(learn_s=LEARN_S))
        assert torch.get_num_threads() == n_threads
    finally:
        torch.set_num_threads(before)
    assert identities(again) == identities(judged)


def test_a_record_that_ends_before_enough_is_learnt_cannot_be_judged(folder: Path) -> None:
    """It says why."""
    base: Checkpoint = template_checkpoint()
    with (
        WfdbRecord.open(folder / "a") as record,
        pytest.raises(CannotLearn, match="before enough was learnt"),
    ):
        judge_record(record, base, JudgeSettings(learn_s=500))
