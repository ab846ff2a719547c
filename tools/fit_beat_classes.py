"""Fit the small statistical model of chf07's beats that the simulated record is drawn from.

    F=../shared/data/ecg5000
    python -m tools.fit_beat_classes --out monitor/sources/chf07_beats.json $F/*.txt

Each ECG5000 row is a window from one QRS complex to the next, resampled to 140 points and
standardised, and its label is that of the beat at the window's *end*: windows of class 2 begin
with a normal QRS stretched by the short RR interval and end, without a P wave, in a broad one.
The windows that follow a ventricular beat are therefore found among the normal ones, by the tall
discordant T wave they begin with; they are a model of their own, `after_ectopic`.

Standardising lost each window's level and height. Both are put back: level zero is the window's
median, and height one is the depth of the QRS of a normal beat, seen at the window's start (at its
end, by the P wave, for `after_ectopic`). The lost RR interval is estimated from how far the
normal QRS was stretched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.ecg5000 import read_ecg5000
from model.errors import InvalidDataset

Floats = NDArray[np.float64]

WINDOW_SAMPLES = 140
CLASS_NAMES = {1: "N", 2: "r", 3: "V", 4: "S", 5: "Q"}  # the symbols of chf07's annotations
AFTER_ECTOPIC = "after_ectopic"
# Share of the variance of each class: 92 % for N, 84 % or more for the others.
COMPONENTS = {"N": 10, "r": 6, "V": 6, "S": 6, "Q": 5, AFTER_ECTOPIC: 5}

HEAD = slice(0, 14)  # holds the trough of the QRS a window begins with
PLATEAU = slice(15, 115)  # ST segment to P wave: its median is the level
EARLY_T = slice(15, 29)  # where a ventricular beat's T wave is tall
LATE_DIASTOLE = slice(60, 95)
P_WAVE = slice(95, 125)
PR_SEGMENT = slice(120, 130)
TALL_T = 0.6  # in standard deviations; normal windows have -0.6 here, those after r have 1.2
TRIM = 0.97  # share kept of each class, nearest its median: the rest is noise and mislabelled
MIN_QRS_DEPTH = 1.0  # standard deviations; a shallower head holds no QRS to scale by


def read_windows(paths: Sequence[Path]) -> tuple[NDArray[np.int64], Floats]:
    """Return labels, shape (n,), and windows, shape (n, 140), of ECG5000 files."""
    labels, windows = zip(*(read_ecg5000(path) for path in paths), strict=True)
    return np.concatenate(labels), np.concatenate(windows).astype(np.float64)


def follows_ectopic(windows: Floats) -> NDArray[np.bool_]:
    """Return which windows begin with a ventricular beat: a tall T wave right after the QRS."""
    rise = windows[:, EARLY_T].mean(axis=1) - windows[:, LATE_DIASTOLE].mean(axis=1)
    depth = -windows[:, HEAD].min(axis=1)
    follows: NDArray[np.bool_] = (rise > TALL_T) & (depth > 2 * MIN_QRS_DEPTH)
    return follows


def qrs_depth(windows: Floats) -> Floats:
    """Return how far the first QRS goes below the level, shape (n,)."""
    depth: Floats = np.median(windows[:, PLATEAU], axis=1) - windows[:, HEAD].min(axis=1)
    return depth


def qrs_return_samples(windows: Floats) -> Floats:
    """Return where the first QRS has come back to half its depth, shape (n,), in samples."""
    level = np.median(windows[:, PLATEAU], axis=1)
    half = level - qrs_depth(windows) / 2
    returns = np.empty(len(windows))
    for i, window in enumerate(windows):
        trough = int(window[HEAD].argmin())
        above = trough + int(np.argmax(window[trough:] > half[i]))
        below_value, above_value = window[above - 1], window[above]
        returns[i] = above - (above_value - half[i]) / (above_value - below_value)
    return returns


def p_wave_height(windows: Floats) -> Floats:
    """Return the height of the P wave over the PR segment that follows it, shape (n,)."""
    height: Floats = windows[:, P_WAVE].max(axis=1) - np.median(windows[:, PR_SEGMENT], axis=1)
    return height


def pr_samples(windows: Floats) -> float:
    """Return the median distance from the P wave to the window's end, in samples."""
    p_sample = P_WAVE.start + np.median(windows[:, P_WAVE].argmax(axis=1))
    return float(WINDOW_SAMPLES - p_sample)


def trim(windows: Floats, share: float = TRIM) -> Floats:
    """Return the `share` of windows nearest to the median window."""
    distance = np.abs(windows - np.median(windows, axis=0)).sum(axis=1)
    nearest: Floats = windows[distance <= np.quantile(distance, share)]
    return nearest


def fit_class(windows: Floats, n_components: int) -> dict[str, Any]:
    """Return mean, principal components (rows) and their standard deviations."""
    mean = windows.mean(axis=0)
    _, singular, components = np.linalg.svd(windows - mean, full_matrices=False)
    # A component's sign is arbitrary; fix it, so that every machine writes the same file.
    largest = np.abs(components).argmax(axis=1)
    components *= np.sign(components[np.arange(len(components)), largest])[:, None]
    spread = singular[:n_components] / np.sqrt(len(windows) - 1)
    return {
        "mean": mean.round(4).tolist(),
        "components": components[:n_components].round(4).tolist(),
        "spread": spread.round(4).tolist(),
        "explained": round(float((singular[:n_components] ** 2).sum() / (singular**2).sum()), 3),
        "windows": len(windows),
    }


def _require(n_windows: int, name: str) -> None:
    needed = COMPONENTS[name] + 2
    if n_windows < needed:
        raise InvalidDataset(f"{n_windows} windows of class {name}; at least {needed} are needed")


def fit(labels: NDArray[np.int64], windows: Floats) -> dict[str, Any]:
    """Return the model of every class, heights in depths of a normal QRS.

    Raises
    ------
    InvalidDataset
        If there are too few windows of a class.
    """
    level = np.median(windows[:, PLATEAU], axis=1)
    centred = windows - level[:, None]
    has_qrs = qrs_depth(windows) > MIN_QRS_DEPTH
    ectopic_before = follows_ectopic(windows)

    follows_normal = has_qrs & ~ectopic_before
    for label, name in CLASS_NAMES.items():
        _require(int((follows_normal & (labels == label)).sum()), name)
    _require(int((labels == 1)[has_qrs & ectopic_before].sum()), AFTER_ECTOPIC)

    normal = trim(centred[(labels == 1) & follows_normal])
    unit = float(np.median(qrs_depth(normal)))
    normal_return = float(np.median(qrs_return_samples(normal)))
    classes = {"N": fit_class(normal / unit, COMPONENTS["N"]) | {"rr_ratio": 1.0}}

    for label, name in CLASS_NAMES.items():
        if label == 1:
            continue
        chosen = centred[(labels == label) & follows_normal]
        scaled = trim(chosen / qrs_depth(chosen)[:, None])
        ratio = normal_return / float(np.median(qrs_return_samples(scaled)))
        classes[name] = fit_class(scaled, COMPONENTS[name]) | {"rr_ratio": round(ratio, 3)}

    after = trim(centred[(labels == 1) & has_qrs & ectopic_before])
    gain = float(np.median(p_wave_height(normal)) / np.median(p_wave_height(after))) / unit
    # The PR interval is the same in both: how much it shrank tells how long the pause was.
    ratio = float(pr_samples(normal) / pr_samples(after))
    classes[AFTER_ECTOPIC] = fit_class(after * gain, COMPONENTS[AFTER_ECTOPIC]) | {
        "rr_ratio": round(ratio, 3)
    }
    return classes


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit the files named on the command line and write the model as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="ECG5000 text files")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args(arguments)
    try:
        classes = fit(*read_windows(options.files))
    except InvalidDataset as error:
        parser.exit(2, f"{error}\n")
    model = {
        "about": "Mean, principal components and their spread of the beat classes of record chf07",
        "source": "ECG5000 (UCR archive), from the BIDMC Congestive Heart Failure Database, "
        "PhysioNet; ODC-By 1.0",
        "made_by": "tools/fit_beat_classes.py from " + ", ".join(f.name for f in options.files),
        "unit": "depth of the QRS of a normal beat",
        "classes": classes,
    }
    options.out.write_text(json.dumps(model, separators=(",", ":")) + "\n", encoding="utf-8")
    for name, fitted in classes.items():
        print(
            f"{name:14} {fitted['windows']:5} windows, RR ratio {fitted['rr_ratio']:.2f}, "
            f"{100 * fitted['explained']:.0f} % of variance"
        )


if __name__ == "__main__":
    main()
