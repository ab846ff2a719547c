"""Show which loss and how much input noise tell unusual beats from normal ones of ECG5000.

    python -m tools.choose_loss ECG5000_TRAIN.txt ECG5000_DEV.txt --seeds 3

Autoencoders are trained on normal beats as `evaluate model --ecg5000` splits them. The column
"perturbed" is what the choice was made by: how well held-out normal beats are told from the same
beats warped, scaled, bent, reversed, shortened or flattened in a part. The columns of the test
beats, which need labels, stand beside it, so that the choice can be judged.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray

from model.ecg5000 import NORMAL, read_ecg5000
from model.scoring import Scorer
from model.training import TrainingConfig, fit
from monitor.offline.evaluation.ecg5000_report import Protocol, area_under_curve, split

Beats = NDArray[np.float32]  # (n, length)
Losses = NDArray[np.float32]  # (n,)
Loss = Callable[[Beats, Beats], Losses]  # of beats and their reconstructions

NOISES = (0.1, 0.3, 0.5)  # the first is what was the default before
PERTURBATIONS = 4  # of each held-out beat


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, score by every loss, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs=2, type=Path, metavar="FILE")
    parser.add_argument("--protocol", choices=get_args(Protocol)[:2], default="official")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    files = [read_ecg5000(path) for path in options.files]
    print("| noise | loss | perturbed | test AUC | lowest | recall at FPR .01 |")
    print("|---|---|---|---|---|---|")
    for noise in NOISES:
        figures: dict[str, list[tuple[float, float, float]]] = {}
        for seed in range(options.seeds):
            learnt, labels, tested = split(files, options.protocol, seed)
            fitted = fit(learnt, training=replace(TrainingConfig(seed=seed), input_noise=noise))
            scorer = Scorer(fitted.autoencoder)
            normal = fitted.validation_beats
            perturbed = np.concatenate([perturb(normal, draw) for draw in range(PERTURBATIONS)])
            written = [scorer.reconstruct(beats) for beats in (normal, perturbed, tested)]
            for name, loss in losses().items():
                of_normal, of_perturbed, of_tested = (
                    loss(beats, again)
                    for beats, again in zip((normal, perturbed, tested), written, strict=True)
                )
                anomalous = np.asarray(labels != NORMAL)
                cut = np.quantile(of_tested[~anomalous], 0.99)
                figures.setdefault(name, []).append(
                    (
                        separation(of_normal, of_perturbed),
                        area_under_curve(of_tested, anomalous),
                        float((of_tested[anomalous] > cut).mean()),
                    )
                )
        for name, rows in figures.items():
            perturbed_area, area, recall = (mean(column) for column in zip(*rows, strict=True))
            lowest = min(row[1] for row in rows)
            print(
                f"| {noise} | {name} | {perturbed_area:.3f} | {area:.4f} | {lowest:.4f} "
                f"| {recall:.2f} |",
                flush=True,
            )


def losses() -> dict[str, Loss]:
    """Return the losses compared: sums of absolute errors and roots of mean squares, smoothed."""
    compared: dict[str, Loss] = {}
    for width in (1, 5, 9):
        compared[f"absolute, mean of {width}"] = _absolute(width)
    for width in (1, 3, 5, 7, 9):
        compared[f"root mean square, mean of {width}"] = _root_mean_square(width)
    return compared


def _absolute(width: int) -> Loss:
    return lambda beats, written: np.abs(_smoothed(beats - written, width)).sum(axis=1)


def _root_mean_square(width: int) -> Loss:
    return lambda beats, written: np.sqrt(np.square(_smoothed(beats - written, width)).mean(axis=1))


def _smoothed(errors: Beats, width: int) -> Beats:
    padded = np.pad(errors, ((0, 0), (width // 2, width // 2)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, width, axis=1)
    return np.asarray(windows.mean(axis=2), np.float32)


def separation(of_normal: Losses, of_others: Losses) -> float:
    """Return the area under the curve of others against normal."""
    together = np.concatenate((of_normal, of_others))
    return area_under_curve(together, np.arange(len(together)) >= len(of_normal))


def perturb(beats: Beats, seed: int) -> Beats:
    """Return each beat changed in one of six ways, standardised again, shape (n, length)."""
    generator = np.random.default_rng(seed)
    length = beats.shape[1]
    ways = (_warped, _scaled, _bent, _reversed, _shortened, _flattened)
    changed = []
    for beat, way in zip(beats, generator.integers(0, len(ways), len(beats)), strict=True):
        other = ways[way](beat, np.arange(length), generator)
        changed.append((other - other.mean()) / other.std(ddof=1))
    return np.asarray(changed, np.float32)


Samples = NDArray[np.floating]
Times = NDArray[np.int64]


def _bell(times: Times, centre: float, width: float) -> NDArray[np.float64]:
    return np.asarray(np.exp(-(((times - centre) / (width * len(times))) ** 2)))


def _warped(beat: Samples, times: Times, generator: np.random.Generator) -> Samples:
    shift = generator.uniform(-0.06, 0.06) * len(beat)
    centre = generator.uniform(0.3, 0.7) * len(beat)
    return np.interp(times + shift * _bell(times, centre, 0.25), times, beat)


def _scaled(beat: Samples, times: Times, generator: np.random.Generator) -> Samples:
    by = generator.choice((-1, 1)) * generator.uniform(0.15, 0.3)
    return np.asarray(beat * (1 + by * _bell(times, generator.uniform(0, len(beat)), 0.15)))


def _bent(beat: Samples, times: Times, generator: np.random.Generator) -> Samples:
    by = generator.choice((-1, 1)) * generator.uniform(0.3, 0.8)
    return np.asarray(beat + by * _bell(times, generator.uniform(0, len(beat)), 0.05))


def _reversed(beat: Samples, _times: Times, generator: np.random.Generator) -> Samples:
    part = _part(beat, generator)
    changed = beat.copy()
    changed[part] = changed[part][::-1].copy()
    return changed


def _shortened(beat: Samples, times: Times, generator: np.random.Generator) -> Samples:
    return np.interp(np.minimum(times / generator.uniform(0.85, 0.95), len(beat) - 1), times, beat)


def _flattened(beat: Samples, _times: Times, generator: np.random.Generator) -> Samples:
    part = _part(beat, generator)
    changed = beat.copy()
    changed[part] = np.linspace(beat[part][0], beat[part][-1], len(beat[part]))
    return changed


def _part(beat: Samples, generator: np.random.Generator) -> slice:
    length = round(0.21 * len(beat))
    start = int(generator.integers(0, len(beat) - length))
    return slice(start, start + length)


if __name__ == "__main__":
    main()
