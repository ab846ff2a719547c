"""Training runs: what is learnt, what is written, what is refused before time is spent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import load_checkpoint
from model.errors import CannotLearn, InvalidBeats, InvalidConfig, InvalidDataset
from model.scoring import Scorer
from monitor.errors import InvalidOption, RecordError, SpecMismatch
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.training_run import (
    TrainingBeats,
    TrainingOptions,
    check_writable,
    gather,
    summary_line,
    train,
    usual_beats,
)
from segmenter.beat import BeatSpec
from segmenter.errors import InvalidSpec
from tests.monitor.checkpoints import TEMPLATE

SMALL = {"embedding": 2, "epochs": 1}


def write_ecg5000(path: Path, n_normal: int, n_anomalous: int) -> Path:
    """Write normal beats that are TEMPLATE and anomalous ones that are its negative."""
    labels = np.repeat([1, 2], [n_normal, n_anomalous])
    beats = np.where(labels == 1, 1, -1)[:, None] * TEMPLATE
    np.savetxt(path, np.column_stack([labels, beats]), fmt="%.5f")
    return path


def noisy_beats(n_beats: int) -> TrainingBeats:
    generator = np.random.default_rng(0)
    noise = 0.1 * generator.standard_normal((n_beats, 140))
    return TrainingBeats((TEMPLATE + noise).astype(np.float32), {"data": "noise"})


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return four simulated minutes, a tenth of whose beats are anomalous."""
    path = tmp_path_factory.mktemp("records") / "sim"
    write_record(path, SimulationSettings(hours=4 / 60, seed=3, anomaly_rate=0.1))
    return path


def test_only_normal_beats_of_all_files_are_learnt(tmp_path: Path) -> None:
    """Classes other than 1 are left out; provenance names data, licence and files."""
    files = (write_ecg5000(tmp_path / "a.txt", 5, 3), write_ecg5000(tmp_path / "b.txt", 2, 1))
    gathered = gather(TrainingOptions(tmp_path / "out", ecg5000=files))
    assert gathered.values.shape == (7, 140)
    np.testing.assert_allclose(gathered.values, np.tile(TEMPLATE, (7, 1)), atol=1e-5)
    assert gathered.provenance["files"] == ["a.txt", "b.txt"]
    assert "ODC-By" in gathered.provenance["licence"]


def test_usual_beats_of_records_are_learnt(record: Path, tmp_path: Path) -> None:
    """Anomalous beats fall out without labels; --learn bounds the time; progress rises to 1."""
    told: list[float] = []
    names = (str(record), str(record))
    options = TrainingOptions(tmp_path / "out", records=names, window="midpoint", learn_s=180.0)
    gathered = gather(options, told.append)
    once = usual_beats(str(record), None, BeatSpec(window="midpoint"), 180.0)
    np.testing.assert_array_equal(gathered.values, np.tile(once, (2, 1)))
    assert 0.6 * 3 * 75 < len(once) < 3 * 90
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert gathered.provenance["records"] == ["sim", "sim"]


def test_a_record_without_a_usual_shape_is_named(record: Path) -> None:
    """Ten seconds hold too few beats: the error says of which record."""
    with pytest.raises(CannotLearn, match=str(record)):
        usual_beats(str(record), None, BeatSpec(), 10.0)
    with pytest.raises(RecordError, match="V9"):
        usual_beats(str(record), "V9", BeatSpec())


def test_the_checkpoint_says_what_it_is(tmp_path: Path) -> None:
    """What is written can be loaded, takes the spec asked for, and carries its provenance."""
    options = TrainingOptions(tmp_path / "c", ecg5000=(Path("x.txt"),), seed=5, **SMALL)  # type: ignore[arg-type]
    made = train(options, noisy_beats(140)).checkpoint
    loaded = load_checkpoint(tmp_path / "c")
    assert loaded.identity == made.identity
    assert loaded.spec_identity == BeatSpec(window="rr").identity
    assert (loaded.provenance["beats"], loaded.provenance["seed"]) == (140, 5)
    assert loaded.threshold.false_alerts_per_beat == 0.05
    line = summary_line(made, options.out)
    assert str(options.out) in line
    assert f"{made.threshold.value:.2f}" in line


def test_the_threshold_keeps_the_share_asked_for(tmp_path: Path) -> None:
    """A tenth of new normal beats, more or less, lies above it; a smaller share raises it."""
    options = TrainingOptions(
        tmp_path / "c",
        ecg5000=(Path("x.txt"),),
        false_alert_share=0.1,
        **SMALL,  # type: ignore[arg-type]
    )
    made = train(options, noisy_beats(1000)).checkpoint
    losses = Scorer(made.autoencoder).losses(noisy_beats(3000).values[1000:])
    assert 0.03 < (losses > made.threshold.value).mean() < 0.25


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    """Bytes and all."""
    for name in ("a", "b"):
        options = TrainingOptions(tmp_path / name, ecg5000=(Path("x.txt"),), **SMALL)  # type: ignore[arg-type]
        train(options, noisy_beats(140))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_too_few_beats_are_refused_before_the_training(tmp_path: Path) -> None:
    """Fewer than set a threshold: said at once, and nothing is written."""
    options = TrainingOptions(tmp_path / "c", ecg5000=(Path("x.txt"),), epochs=10_000)
    with pytest.raises(InvalidBeats, match="133 normal beats are too few"):
        train(options, noisy_beats(133))
    assert not options.out.exists()


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({}, InvalidOption, "--ecg5000"),
        ({"ecg5000": (Path("x"),), "records": ("y",)}, InvalidOption, "either"),
        ({"ecg5000": (Path("x"),), "window": "midpoint"}, SpecMismatch, "rr, not midpoint"),
        ({"ecg5000": (Path("x"),), "lead": "II"}, InvalidOption, "--lead"),
        ({"ecg5000": (Path("x"),), "learn_s": 3.0}, InvalidOption, "--learn"),
        ({"records": ("y",), "window": "wide"}, InvalidSpec, "wide"),
        ({"records": ("y",), "learn_s": 0.0}, InvalidOption, "--learn"),
        ({"records": ("y",), "false_alert_share": 0.0}, InvalidOption, "share"),
        ({"records": ("y",), "embedding": 0}, InvalidConfig, "embedding"),
        ({"records": ("y",), "epochs": 0}, InvalidConfig, "epochs"),
        ({"records": ("y",), "seed": -1}, InvalidConfig, "seed"),
    ],
)
def test_contradictions_are_refused_at_once(
    given: dict[str, object], error: type[Exception], match: str
) -> None:
    """Before a file is read."""
    with pytest.raises(error, match=match):
        TrainingOptions(Path("c"), **given)  # type: ignore[arg-type]


def test_files_that_are_no_ecg5000_are_refused(tmp_path: Path) -> None:
    """By their own error, which names the file."""
    with pytest.raises(InvalidDataset, match=r"no\.txt"):
        gather(TrainingOptions(tmp_path / "c", ecg5000=(tmp_path / "no.txt",)))


def test_where_a_checkpoint_may_be_written(tmp_path: Path) -> None:
    """A new name in a folder that is there; an old one only if it may be replaced."""
    there = tmp_path / "there"
    check_writable(there, overwrite=False)
    assert not there.exists()
    there.write_text("mine")
    with pytest.raises(InvalidOption, match="exists already"):
        check_writable(there, overwrite=False)
    check_writable(there, overwrite=True)
    assert there.read_text() == "mine"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidOption, match="no regular file"):
        check_writable(tmp_path / "pipe", overwrite=True)
    for out, match in ((tmp_path, "folder"), (tmp_path / "no/c", "no"), (there / "c", "there")):
        with pytest.raises(InvalidOption, match=match):
            check_writable(out, overwrite=True)
