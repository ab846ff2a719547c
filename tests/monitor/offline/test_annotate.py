"""Annotating records: what wfdb reads back, whole files or none, records that fail alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import wfdb
from numpy.typing import NDArray

from model.autoencoder import LstmAutoencoder
from model.checkpoint import Checkpoint, save_checkpoint
from model.config import AutoencoderConfig
from model.errors import InvalidCheckpoint
from model.learning import Learned
from model.thresholds import Threshold
from monitor.errors import InvalidOption, SpecMismatch
from monitor.offline import annotate
from monitor.offline.annotate import Annotated, annotate_records, summary
from monitor.offline.evaluation.beats_report import evaluate_beats
from monitor.offline.record_segmenter import segment
from monitor.offline.workers import Workers
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.wfdb_record import WfdbRecord
from segmenter.beat import BeatSpec, Quality
from tests.real_data import MITDB

FS_HZ = 250
RR_SAMPLES = 200  # 75 beats a minute


def _r_peaks(duration_s: int) -> NDArray[np.int64]:
    return np.arange(RR_SAMPLES, duration_s * FS_HZ - RR_SAMPLES, RR_SAMPLES)


def _ecg(duration_s: int) -> NDArray[np.float64]:
    """Return a plain ECG in mV: P, R and T waves as Gaussians, and a little noise."""
    t = np.arange(duration_s * FS_HZ)
    rng = np.random.default_rng(0)
    values = 0.01 * rng.standard_normal(len(t))
    for r in _r_peaks(duration_s):
        for offset_s, width_s, height_mv in (
            (-0.16, 0.025, 0.1),
            (0, 0.012, 1.0),
            (0.28, 0.05, 0.25),
        ):
            near = slice(max(r - 200, 0), r + 200)
            z = (t[near] - r - offset_s * FS_HZ) / (width_s * FS_HZ)
            values[near] += height_mv * np.exp(-0.5 * z**2)
    return values


def _write(folder: Path, name: str, duration_s: int = 60, gap_s: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    values = _ecg(duration_s)
    if gap_s:
        values[: gap_s * FS_HZ] = np.nan
    wfdb.wrsamp(
        name,
        fs=FS_HZ,
        units=["mV"],
        sig_name=["II"],
        p_signal=values[:, None],
        fmt=["16"],
        adc_gain=[1000.0],
        baseline=[0],
        write_dir=str(folder),
    )
    r = _r_peaks(duration_s)
    wfdb.wrann(name, "atr", r, ["N"] * len(r), write_dir=str(folder))
    return folder / name


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an untrained model: its losses mean nothing, but they are losses."""
    torch.manual_seed(0)
    config = AutoencoderConfig(embedding=2)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    spec = BeatSpec()
    made = Checkpoint(
        autoencoder=LstmAutoencoder(config).trained(),
        spec=spec.to_mapping(),
        spec_identity=spec.identity,
        threshold=Threshold(value=1.0),
    )
    save_checkpoint(made, path)
    return path


def _annotations(out: Path) -> list[str]:
    return sorted(file.name for file in out.iterdir() if file.is_file())


def test_beats_are_readable_by_wfdb(tmp_path: Path) -> None:
    """Each R peak within 20 ms, with its quality in the subtype and its delay in the note."""
    path = _write(tmp_path / "in", "rec")
    (result,) = annotate_records([path], tmp_path / "out", workers=Workers(1))
    annotation = wfdb.rdann(str(tmp_path / "out" / "rec"), "qrs")
    expected = _r_peaks(60)
    assert result.error is None
    assert result.signal_s == 60
    assert annotation.fs == FS_HZ
    assert len(annotation.sample) == result.n_beats
    later = expected[expected > 5 * FS_HZ]
    found = annotation.sample[annotation.sample > 5 * FS_HZ - 5]
    assert len(found) == len(later)
    assert np.max(np.abs(found - later)) <= 5
    assert set(annotation.symbol) <= {"N", "Q"}
    assert annotation.symbol.count("Q") == result.n_withheld
    doubtful = np.array(annotation.symbol) == "Q"
    assert np.all(annotation.subtype[doubtful] > 0)
    delays = [float(note.removeprefix("delay_ms=")) for note in annotation.aux_note]
    assert min(delays) >= 0
    assert np.median(delays) <= 300


@pytest.mark.parametrize(
    ("leads", "channels"), [([], [1, 2]), (["II"], [1]), ([2], [2]), (["V5,II"], [2, 1])]
)
def test_annotations_carry_the_leads_number(
    tmp_path: Path, checkpoint: Path, leads: list[str | int], channels: list[int]
) -> None:
    """That of the first; also after a run that did nothing anew, all are told."""
    values = np.column_stack([np.sin(np.arange(20 * FS_HZ) / 200), *[_ecg(20)] * 2])
    wfdb.wrsamp(
        "rec",
        fs=FS_HZ,
        units=["mV"] * 3,
        sig_name=["RESP", "II", "V5"],
        p_signal=values,
        fmt=["16"] * 3,
        adc_gain=[1000.0] * 3,
        baseline=[0] * 3,
        write_dir=str(tmp_path),
    )
    for _ in range(2):
        (result,) = annotate_records(
            [tmp_path / "rec"], tmp_path / "out", leads, workers=Workers(1), checkpoint=checkpoint
        )
        assert result.leads == tuple(["RESP", "II", "V5"][channel] for channel in channels)
    for extension in ("qrs", "alm"):
        assert set(wfdb.rdann(str(tmp_path / "out" / "rec"), extension).chan) <= {channels[0]}
    assert result.was_done
    assert result.n_beats > 0


def test_a_record_that_lacks_samples_is_annotated_with_a_warning(tmp_path: Path) -> None:
    """Also told by a run that finds it done."""
    path = _write(tmp_path / "in", "rec", duration_s=20)
    file = path.with_suffix(".dat")
    file.write_bytes(file.read_bytes()[:-2])
    for _ in range(2):
        (result,) = annotate_records([path], tmp_path / "out", workers=Workers(1))
        assert result.error is None
        (warning,) = result.warnings
        assert "its header says 5000 samples a signal, it holds 4999" in warning
    assert result.was_done


def test_what_is_written_is_what_the_segmenter_found(tmp_path: Path) -> None:
    """The file holds the segmenter's beats, sample by sample, whatever the block size."""
    path = _write(tmp_path / "in", "rec", duration_s=130)
    annotate_records([path], tmp_path / "out", workers=Workers(1))
    written = wfdb.rdann(str(tmp_path / "out" / "rec"), "qrs")
    record = WfdbRecord.open(path)
    blocks = list(segment(record, BeatSpec(), record.n_samples))
    assert written.sample.tolist() == np.concatenate([b.r_sample for b in blocks]).tolist()
    quality = np.concatenate([b.quality for b in blocks])
    assert written.subtype.tolist() == (quality & ~np.uint16(Quality.LATE)).tolist()


def test_a_record_without_a_beat_gives_an_empty_file(tmp_path: Path) -> None:
    """Nothing found is a file without annotations, not a failure."""
    path = _write(tmp_path / "in", "flat", duration_s=30, gap_s=30)
    (result,) = annotate_records([path], tmp_path / "out", workers=Workers(1))
    assert (result.error, result.n_beats) == (None, 0)
    assert len(wfdb.rdann(str(tmp_path / "out" / "flat"), "qrs").sample) == 0


def test_with_a_model_anomalies_are_written_too(tmp_path: Path, checkpoint: Path) -> None:
    """Beats over the threshold, with their loss; none whose verdict is withheld."""
    path = _write(tmp_path / "in", "rec")
    (result,) = annotate_records(
        [path], tmp_path / "out", workers=Workers(1), checkpoint=checkpoint
    )
    beats = wfdb.rdann(str(tmp_path / "out" / "rec"), "qrs")
    alarms = wfdb.rdann(str(tmp_path / "out" / "rec"), "alm")
    judged = beats.sample[np.array(beats.symbol) == "N"]
    assert result.n_anomalies == len(alarms.sample) > 0
    assert set(alarms.sample.tolist()) <= set(judged.tolist())
    assert set(alarms.symbol) == {"Q"}
    for note in alarms.aux_note:
        loss, threshold = (float(part.split("=")[1]) for part in note.split())
        assert loss > threshold == 1.0


def test_each_record_can_be_learnt_first(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With learn_s, the beats of the first part are learnt and only what follows is judged."""
    given: list[NDArray[np.float32]] = []

    def learn(
        beats: NDArray[np.float32],
        spec: object,
        identity: str,
        base: Checkpoint,
        *,
        rr_before_ms: NDArray[np.float32],
        false_alerts_per_hour: float,
        on_epoch: object,
    ) -> Learned:
        """Stand in for the training, which has its own tests and takes its time."""
        assert (spec, identity) == (BeatSpec().to_mapping(), BeatSpec().identity)
        assert rr_before_ms.shape == (len(beats),)
        given.append(beats)
        return Learned(base, len(beats), len(beats), "")

    monkeypatch.setattr("model.learning.learn_patient", learn)
    path = _write(tmp_path / "in", "rec", duration_s=100)
    (result,) = annotate_records(
        [path], tmp_path / "out", workers=Workers(1), learn_s=70, checkpoint=checkpoint
    )
    assert result.error is None
    assert given[0].shape[1] == 140
    assert 75 <= len(given[0]) <= 70 * FS_HZ // RR_SAMPLES
    alarms = wfdb.rdann(str(tmp_path / "out" / "rec"), "alm")
    assert result.n_anomalies == len(alarms.sample) > 0
    assert np.all(alarms.sample >= 70 * FS_HZ)


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    """The record fails with the reason; no file appears."""
    path = _write(tmp_path / "in", "rec", duration_s=25)
    (result,) = annotate_records([path], tmp_path / "out", workers=Workers(1), learn_s=10)
    assert result.error is not None
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_stands_for_its_records_and_failures_stand_alone(tmp_path: Path) -> None:
    """In processes: good records are written, the broken one is reported, in the order given."""
    folder = tmp_path / "in"
    for name in ("a", "b"):
        _write(folder, name, duration_s=20)
    (folder / "broken.hea").write_text("nonsense")
    told: list[tuple[str, int, int]] = []
    results = annotate_records(
        [folder],
        tmp_path / "out",
        workers=Workers(2),
        on_progress=lambda result, n_done, n_all: told.append((result.record, n_done, n_all)),
    )
    assert [Path(result.record).name for result in results] == ["a", "b", "broken"]
    assert summary(results) == (2, 1)
    assert results[2].error is not None
    assert "broken.hea" in results[2].error
    assert _annotations(tmp_path / "out") == ["a.qrs", "b.qrs"]
    assert sorted(record for record, _, _ in told) == sorted(result.record for result in results)
    assert [n_done for _, n_done, _ in told] == [1, 2, 3]
    assert {n_all for _, _, n_all in told} == {3}


def test_processes_and_one_process_write_the_same(tmp_path: Path) -> None:
    """Byte for byte."""
    paths = [_write(tmp_path / "in", name, duration_s=20) for name in ("a", "b")]
    for out, jobs in (("one", 1), ("two", 2)):
        annotate_records(paths, tmp_path / out, workers=Workers(jobs))
    for name in ("a.qrs", "b.qrs"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_the_longest_record_is_done_first(tmp_path: Path) -> None:
    """So that processes end together; what cannot be read comes last, results as asked for."""
    paths = [tmp_path / "in" / "missing"]
    paths += [_write(tmp_path / "in", f"r{s}", duration_s=s) for s in (10, 30, 20)]
    told: list[str] = []
    results = annotate_records(
        paths,
        tmp_path / "out",
        workers=Workers(1),
        on_progress=lambda one, *_: told.append(one.record),
    )
    assert [Path(record).name for record in told] == ["r30", "r20", "r10", "missing"]
    assert [one.record for one in results] == [str(path) for path in paths]


def test_the_evaluation_reads_what_is_annotated(tmp_path: Path) -> None:
    """`annotate` and `evaluate beats` fit together: a plain ECG is found whole."""
    path = _write(tmp_path / "in", "rec")
    annotate_records([path], tmp_path / "out", workers=Workers(1))
    gross = evaluate_beats(tmp_path / "in", tmp_path / "out", start_s=10).gross
    assert (gross.sensitivity, gross.positive_predictivity) == (1.0, 1.0)


@pytest.mark.skipif(not MITDB.is_dir(), reason="no real records in ../shared/data/mitdb")
def test_a_real_record_is_annotated_and_evaluated(tmp_path: Path) -> None:
    """Record 119, with its ventricular bigeminy, by EC57: must not get worse."""
    annotate_records([MITDB / "119"], tmp_path, workers=Workers(1))
    gross = evaluate_beats(MITDB, tmp_path).gross
    assert gross.true_positives + gross.false_negatives == 1661
    assert gross.sensitivity >= 0.999
    assert gross.positive_predictivity >= 0.999
    assert gross.error_median_abs_ms <= 10


def test_a_missing_lead_is_that_records_failure(tmp_path: Path) -> None:
    """The reason names the leads there are."""
    path = _write(tmp_path / "in", "rec", duration_s=10)
    (result,) = annotate_records([path], tmp_path / "out", leads=["V5"], workers=Workers(1))
    assert result.error is not None
    assert "choose from II" in result.error


def test_old_files_survive_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be written whole leaves what was there, and no scraps."""
    path = _write(tmp_path / "in", "rec", duration_s=10)
    out = tmp_path / "out"
    annotate_records([path], out, workers=Workers(1))
    before = (out / "rec.qrs").read_bytes()

    def full(_self: Path, _content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        (result,) = annotate_records([path], out, workers=Workers(1), again=True)
    assert result.error is not None
    assert "No space left" in result.error
    assert (out / "rec.qrs").read_bytes() == before
    assert _annotations(out) == ["rec.qrs"]


def test_a_folder_of_folders_stands_for_the_records_in_them(tmp_path: Path) -> None:
    """At any depth, where it holds none itself; folders without any are passed over and said."""
    deep, empty, out = tmp_path / "db" / "p1" / "s1", tmp_path / "empty", tmp_path / "out"
    empty.mkdir()
    for folder, name in ((deep, "a"), (deep.parent.parent / "p0", "b")):
        folder.mkdir(parents=True)
        write_record(folder / name, SimulationSettings(hours=20 / 3600, seed=1))
    results = annotate_records([tmp_path / "db", empty], out, workers=Workers(1))
    assert [(Path(one.record).name, one.error is None) for one in results] == [
        ("b", True),
        ("a", True),
        ("empty", False),
    ]
    assert "holds no records" in str(results[2].error)
    with pytest.raises(InvalidOption, match=r"no record to annotate: .*empty holds no records"):
        annotate_records([empty], out)


def test_options_that_cannot_work_are_refused_before_anything_is_read(
    tmp_path: Path, checkpoint: Path
) -> None:
    """Name clashes, absurd numbers, foreign specs and files that are no model."""
    one, other = tmp_path / "one" / "rec", tmp_path / "other" / "rec"
    out = tmp_path / "out"
    with pytest.raises(InvalidOption, match="would write the same files"):
        annotate_records([one, other], out)
    with pytest.raises(InvalidOption, match="there is no record to annotate"):
        annotate_records([], out)
    for jobs in (0, -1, 1000):
        with pytest.raises(InvalidOption, match="jobs"):
            annotate_records([one], out, workers=Workers(jobs))
    for learn_s in (0.0, -5.0, float("nan"), float("inf")):
        with pytest.raises(InvalidOption, match="learnt"):
            annotate_records([one], out, learn_s=learn_s)
    with pytest.raises(SpecMismatch, match="expects beats of spec"):
        annotate_records([one], out, spec=BeatSpec(window="rr"), checkpoint=checkpoint)
    (tmp_path / "junk").write_bytes(b"\x80\x04junk")
    with pytest.raises(InvalidCheckpoint):
        annotate_records([one], out, checkpoint=tmp_path / "junk")
    (tmp_path / "file").write_text("")
    with pytest.raises(InvalidOption, match="cannot write to"):
        annotate_records([one], tmp_path / "file")


def test_workers_that_are_killed_cost_no_record(tmp_path: Path) -> None:
    """For their memory, say: what they were at is done by others."""
    paths = [_write(tmp_path / "in", f"r{i}", duration_s=20) for i in range(8)]
    killed: list[int] = []

    def kill_once(*_: object) -> None:
        for child in multiprocessing.active_children() if not killed else ():
            child.kill()
            killed.append(child.pid or 0)

    results = annotate_records(paths, tmp_path / "out", workers=Workers(2), on_progress=kill_once)
    assert killed
    assert [one.error for one in results] == [None] * len(paths)
    assert len(_annotations(tmp_path / "out")) == len(paths)


INTERRUPTED = """
import json, sys
from monitor.offline.annotate import annotate_records
from monitor.offline.workers import Workers
if __name__ == "__main__":
    records, out = json.loads(sys.argv[1]), sys.argv[2]
    told = lambda *_: print("done", flush=True)
    try:
        annotate_records(records, out, workers=Workers(2), on_progress=told)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def test_ctrl_c_stops_all_workers_and_leaves_no_scraps(tmp_path: Path) -> None:
    """SIGINT to the process group, as a terminal sends it: one exit, no traceback, whole files."""
    path = _write(tmp_path / "in", "r0", duration_s=600)
    records = [str(path)]
    for i in range(1, 60):
        for suffix in (".hea", ".dat"):
            text = path.with_suffix(suffix).read_bytes()
            (tmp_path / "in" / f"r{i}{suffix}").write_bytes(text)
        records.append(str(tmp_path / "in" / f"r{i}"))
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    process = subprocess.Popen(
        [sys.executable, str(script), json.dumps(records), str(tmp_path / "out")],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    os.killpg(process.pid, signal.SIGINT)
    interrupted = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - interrupted < 20
    assert process.returncode == 130
    assert errors == ""
    written = [tmp_path / "out" / name for name in _annotations(tmp_path / "out")]
    assert 0 < len(written) < len(records)
    assert {file.suffix for file in written} == {".qrs"}
    for file in written:
        assert len(wfdb.rdann(str(file.with_suffix("")), "qrs").sample) > 700


def test_a_run_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    """Records that are done are passed over, told so, with the same figures; the rest is done."""
    paths = [_write(tmp_path / "in", name, duration_s=20) for name in ("a", "b")]
    out = tmp_path / "out"
    (first,) = annotate_records([paths[0]], out, workers=Workers(1))
    written_ns = (out / "a.qrs").stat().st_mtime_ns
    told: list[tuple[bool, int, int]] = []
    results = annotate_records(
        [tmp_path / "in"],
        out,
        workers=Workers(1),
        on_progress=lambda one, n_done, n_all: told.append((one.was_done, n_done, n_all)),
    )
    assert [one.was_done for one in results] == [True, False]
    assert replace(results[0], was_done=False) == first
    assert told == [(True, 1, 2), (False, 2, 2)]
    assert (out / "a.qrs").stat().st_mtime_ns == written_ns
    assert all(one.was_done for one in annotate_records([tmp_path / "in"], out))


def test_what_is_done_depends_on_settings_record_and_files(
    tmp_path: Path, checkpoint: Path
) -> None:
    """Another window, model or record, a damaged or lost output or note: done anew."""
    path = _write(tmp_path / "in", "rec", duration_s=20)
    out = tmp_path / "out"

    def was_done(**options: Any) -> bool:
        (result,) = annotate_records([path], out, workers=Workers(1), **options)
        assert result.error is None
        return result.was_done

    assert not was_done(checkpoint=checkpoint)
    assert was_done(checkpoint=checkpoint)
    assert not was_done()
    assert not was_done(spec=BeatSpec("midpoint"))
    assert not was_done()
    assert was_done()
    assert not was_done(again=True)
    (out / "rec.qrs").write_bytes((out / "rec.qrs").read_bytes()[:-10])
    assert not was_done()
    (out / "rec.qrs").unlink()
    assert not was_done()
    (note,) = out.glob(".annotated/*.json")
    for damage in (b"", b"\xff", b"[" * 5000, b'{"settings": 1}'):
        note.write_bytes(damage)
        assert not was_done()
    os.utime(path.with_suffix(".dat"), ns=(1, 1))
    assert not was_done()
    assert was_done()


def test_one_killed_between_its_files_is_done_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is written last: without it, what is there does not count."""
    path = _write(tmp_path / "in", "rec", duration_s=20)

    def killed(*_given: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(annotate, "write_note", killed)
        with pytest.raises(KeyboardInterrupt):
            annotate_records([path], tmp_path / "out", workers=Workers(1))
    (result,) = annotate_records([path], tmp_path / "out", workers=Workers(1))
    assert not result.was_done


def test_results_of_nothing() -> None:
    """The summary counts failures apart."""
    assert summary([Annotated("a"), Annotated("b", error="missing")]) == (1, 1)
