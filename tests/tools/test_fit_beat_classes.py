"""The statistical model of the beat classes, fitted again from beats drawn from it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.sources.beat_shapes import AFTER_ECTOPIC, draw_joints, load_shapes
from tests.real_data import ECG5000_FOLDER
from tools.fit_beat_classes import CLASS_NAMES, main

WINDOWS = {"N": 600, "r": 300, "V": 100, "S": 200, "Q": 60, AFTER_ECTOPIC: 40}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file in ECG5000_FOLDER's form whose beats come from the shipped model."""
    rng = np.random.default_rng(0)
    label_of = {name: label for label, name in CLASS_NAMES.items()} | {AFTER_ECTOPIC: 1}
    rows: list[NDArray[np.float64]] = []
    for name, n_windows in WINDOWS.items():
        follower = "r" if name == AFTER_ECTOPIC else "N"
        start = draw_joints(load_shapes(), np.full(n_windows, follower), rng)
        ending = "N" if name == AFTER_ECTOPIC else name
        end = draw_joints(load_shapes(), np.full(n_windows, ending), rng)
        windows = load_shapes()[name].draw(start, end, rng)
        windows = (windows - windows.mean(axis=1, keepdims=True)) / windows.std(
            axis=1, ddof=1, keepdims=True
        )
        rows.append(np.column_stack([np.full(n_windows, label_of[name]), windows]))
    path = tmp_path_factory.mktemp("ecg5000") / "DRAWN.txt"
    np.savetxt(path, np.vstack(rows), fmt="%.7e")
    return path


def fitted(out: Path, *beats: Path) -> dict[str, dict[str, float | list[float]]]:
    main(["--out", str(out), *map(str, beats)])
    classes: dict[str, dict[str, float | list[float]]] = json.loads(out.read_text())["classes"]
    return classes


def test_model_is_found_again_from_its_own_beats(drawn: Path, tmp_path: Path) -> None:
    """Level, height and RR ratio lost by standardising come back, in depths of a normal QRS.

    N and r are many and alike. The rest are few or mixtures, of which one Gaussian keeps the mean:
    V's RR ratio, for one, becomes that of its mean.
    """
    classes = fitted(tmp_path / "model.json", drawn)
    for name, shape in load_shapes().items():
        middle = slice(20, 125)
        error = np.abs(np.array(classes[name]["mean"]) - shape.mean)[middle].max()
        assert error < (0.1 if name in ("N", "r") else 0.2), name
        assert classes[name]["rr_ratio"] == pytest.approx(
            shape.rr_ratio, abs=0.2 if name == "V" else 0.1
        ), name


def test_windows_after_ventricular_beats_are_set_apart(drawn: Path, tmp_path: Path) -> None:
    """The file labels them normal; their tall T wave tells them."""
    classes = fitted(tmp_path / "model.json", drawn)
    n_windows = classes[AFTER_ECTOPIC]["windows"]
    assert isinstance(n_windows, int)
    assert 0.8 * WINDOWS[AFTER_ECTOPIC] <= n_windows <= WINDOWS[AFTER_ECTOPIC]


def test_same_beats_same_file(drawn: Path, tmp_path: Path) -> None:
    """Nothing is left to chance."""
    fitted(tmp_path / "one.json", drawn)
    fitted(tmp_path / "two.json", drawn)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize("content", ["", "1 2 3\n", "1 " + "0.5 " * 140 + "\n"])
def test_unusable_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    """One line and exit code 2: empty, of the wrong length, too few beats."""
    (tmp_path / "beats.txt").write_text(content)
    with pytest.raises(SystemExit) as caught:
        main(["--out", str(tmp_path / "model.json"), str(tmp_path / "beats.txt")])
    assert caught.value.code == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "model.json").exists()


@pytest.mark.skipif(not ECG5000_FOLDER.is_dir(), reason=f"{ECG5000_FOLDER} is absent")
def test_shipped_model_is_fitted_from_ecg5000(tmp_path: Path) -> None:
    """The file that ships is what the documented command makes."""
    made = fitted(tmp_path / "model.json", *sorted(ECG5000_FOLDER.glob("*.txt")))
    text = files("monitor.sources").joinpath("chf07_beats.json").read_text(encoding="utf-8")
    shipped = json.loads(text)["classes"]
    assert made.keys() == shipped.keys()
    for name in shipped:
        for key in ("mean", "spread", "rr_ratio", "windows"):
            np.testing.assert_allclose(made[name][key], shipped[name][key], atol=2e-4)
