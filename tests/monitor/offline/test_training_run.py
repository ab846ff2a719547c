"""Training runs: what is learnt, what is written, what is refused before time is spent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.checkpoint import load_checkpoint
from model.errors import (
    CannotLearn,
    InvalidBeats,
    InvalidCheckpoint,
    InvalidConfig,
    InvalidDataset,
)
from model.scoring import Scorer
from model.training import Epoch
from monitor.errors import InvalidOption, RecordError, SpecMismatch
from monitor.offline.training_options import TrainingOptions
from monitor.offline.training_run import (
    Trained,
    TrainingBeats,
    gather,
    how_to_go_on,
    judged_beats,
    summary_line,
    train,
    usual_beats,
)
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.source import SourceOptions
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
    options = TrainingOptions(
        tmp_path / "out", records=names, window="midpoint", learn_s=180.0, leads=("0",)
    )
    gathered = gather(options, told.append)
    once = usual_beats(str(record), SourceOptions(["0"]), BeatSpec(window="midpoint"), 180.0)
    np.testing.assert_array_equal(gathered.values, np.tile(once, (2, 1)))
    assert 0.6 * 3 * 75 < len(once) < 3 * 90
    assert told == sorted(told)
    assert told[-1] == 1.0
    assert gathered.provenance["records"] == ["sim", "sim"]


def test_usual_beats_of_all_leads_are_learnt(record: Path) -> None:
    """Each lead has a dominant shape of its own; those of one stand behind those of another."""
    spec = BeatSpec()
    first, second, both = (
        usual_beats(str(record), SourceOptions(one), spec, 180.0) for one in (["0"], ["1"], [])
    )
    assert len(both) == pytest.approx(len(first) + len(second), rel=0.05)
    np.testing.assert_allclose(both[0], first[0], atol=1e-5)


def test_a_record_that_cannot_be_learnt_from_is_passed_over(record: Path, tmp_path: Path) -> None:
    """The others are learnt, and the checkpoint names them alone; with none left it is an error."""
    bad = str(tmp_path / "none")
    told: list[tuple[str, str]] = []
    options = TrainingOptions(tmp_path / "out", records=(bad, str(record)))
    gathered = gather(options, pass_over=lambda *one: told.append(one))
    assert gathered.provenance["records"] == ["sim"]
    assert [name for name, _ in told] == [bad]
    with pytest.raises(RecordError, match="none does not exist"):
        gather(TrainingOptions(tmp_path / "out", records=(bad, bad)))
    (tmp_path / "fast.hea").write_text("fast 1 5000 20000\nfast.dat 16 200/mV\n")
    (tmp_path / "fast.dat").write_bytes(bytes(40_000))
    with pytest.raises(RecordError, match=r"record .*fast: sampling rate 5000\.0 Hz"):
        gather(TrainingOptions(tmp_path / "out", records=(str(tmp_path / "fast"),)))


def test_a_record_without_a_usual_shape_is_named(record: Path) -> None:
    """Ten seconds hold too few beats: the error says of which record."""
    with pytest.raises(CannotLearn, match=str(record)):
        usual_beats(str(record), SourceOptions(), BeatSpec(), 10.0)
    with pytest.raises(RecordError, match="V9"):
        usual_beats(str(record), SourceOptions(["V9"]), BeatSpec())


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
    with pytest.raises(InvalidBeats, match="too few normal beats to train on: 133"):
        train(options, noisy_beats(133))
    assert not options.out.exists()


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({}, InvalidOption, "--ecg5000"),
        ({"ecg5000": (Path("x"),), "records": ("y",)}, InvalidOption, "either"),
        ({"ecg5000": (Path("x"),), "window": "midpoint"}, SpecMismatch, "rr, not midpoint"),
        ({"ecg5000": (Path("x"),), "leads": ("II",)}, InvalidOption, "--lead"),
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


def interrupted_after(
    epochs: int, options: TrainingOptions, beats: TrainingBeats | None = None
) -> Trained:
    """Train until Ctrl-C comes after so many epochs."""

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == epochs:
            raise KeyboardInterrupt

    return train(options, beats or noisy_beats(140), on_epoch)


def options_to(out: Path, **others: object) -> TrainingOptions:
    values: dict[str, object] = {"embedding": 2, "epochs": 5, "seed": 1, **others}
    return TrainingOptions(out, ecg5000=(Path("x.txt"),), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize("epochs", [1, 3])
def test_an_interrupted_training_goes_on_to_the_same_file(epochs: int, tmp_path: Path) -> None:
    """The best so far is written, then, resumed, the bytes of an uninterrupted training."""
    left = interrupted_after(epochs, options_to(tmp_path / "left"))
    assert left.interrupted
    assert len(left.fitted.history) == epochs
    assert load_checkpoint(tmp_path / "left").identity == left.checkpoint.identity
    told = how_to_go_on(left, tmp_path / "left")
    assert f"epoch {epochs} of 5" in told
    assert "--resume" in told
    again = train(options_to(tmp_path / "left", resume=True), noisy_beats(140))
    assert not again.interrupted
    train(options_to(tmp_path / "whole"), noisy_beats(140))
    assert (tmp_path / "left").read_bytes() == (tmp_path / "whole").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["left", "whole"]


def test_a_killed_training_leaves_its_last_tenth_epoch(tmp_path: Path) -> None:
    """What no handler sees costs at most ten epochs."""

    class KilledError(BaseException):
        pass

    def on_epoch(epoch: Epoch) -> None:
        if epoch.number == 12:
            raise KilledError

    options = options_to(tmp_path / "c", epochs=25)
    with pytest.raises(KilledError):
        train(options, noisy_beats(140), on_epoch)
    numbers: list[int] = []
    resumed = options_to(tmp_path / "c", epochs=25, resume=True)
    train(resumed, noisy_beats(140), lambda epoch: numbers.append(epoch.number))
    assert numbers[:3] == [11, 12, 13]


def test_what_cannot_be_gone_on_with_is_refused(tmp_path: Path) -> None:
    """Nothing left, a damaged file, other beats, another seed; the checkpoint stays as it is."""
    out = tmp_path / "c"
    with pytest.raises(InvalidOption, match="so no training can be continued"):
        train(options_to(out, resume=True), noisy_beats(140))
    interrupted_after(2, options_to(out))
    before = out.read_bytes()
    with pytest.raises(InvalidConfig, match="other beats or options"):
        train(options_to(out, resume=True), noisy_beats(141))
    with pytest.raises(InvalidConfig, match="other beats or options"):
        train(options_to(out, resume=True, seed=2), noisy_beats(140))
    options_to(out).state_path.write_bytes(b"damaged")
    with pytest.raises(InvalidCheckpoint, match="no training to continue"):
        train(options_to(out, resume=True), noisy_beats(140))
    assert out.read_bytes() == before


def test_beats_to_report_on_are_those_no_gradient_has_seen(tmp_path: Path) -> None:
    """Validation beats and the anomalous ones of the files learnt from; or test files, whole."""
    learnt = write_ecg5000(tmp_path / "a.txt", 140, 6)
    other = write_ecg5000(tmp_path / "b.txt", 4, 3)
    page = tmp_path / "r.html"
    options = TrainingOptions(tmp_path / "c", ecg5000=(learnt,), report=page, **SMALL)  # type: ignore[arg-type]
    trained = train(options, gather(options))
    tested = judged_beats(options, trained.fitted)
    assert tested is not None
    assert np.bincount(tested[0]).tolist() == [0, 21, 6]
    of_file = judged_beats(replace(options, tests=(other,)), trained.fitted)
    assert of_file is not None
    assert np.bincount(of_file[0]).tolist() == [0, 4, 3]
    of_record = TrainingOptions(tmp_path / "c", records=("sim",), report=page)
    assert judged_beats(of_record, trained.fitted) is None


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"report": Path("r.png")}, ".html"),
        ({"tests": (Path("t.txt"),)}, "--report"),
    ],
)
def test_reports_that_cannot_be_written_are_refused(
    values: dict[str, object], told: str, tmp_path: Path
) -> None:
    """Before anything is trained."""
    with pytest.raises(InvalidOption, match=told):
        options_to(tmp_path / "c", **values)
