"""What the simulated beats look like: ECG drawn from a statistical model of chf07's beats.

The model (chf07_beats.json, made by tools/fit_beat_classes.py) knows windows of 140 points from
one beat to the next. A window of class c ends with a beat of class c; `after_ectopic` begins with
a ventricular beat and ends with a normal one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from monitor.sources.simulated_rhythm import MEAN_RR_S

Floats = NDArray[np.float64]

AFTER_ECTOPIC = "after_ectopic"
VENTRICULAR = ("r", "V")
WINDOW_SAMPLES = 140
# QRS and T, and P and QRS, keep their duration; diastole between them takes up the RR interval.
HEAD_SAMPLES, TAIL_SAMPLES = 63, 46
SHORTEST_DIASTOLE = 0.08  # of the RR interval; below it, everything is squeezed
MAX_DEVIATION = 2.5  # standard deviations of a component; no recorded beat lies further out


@dataclass(frozen=True)
class ShapeModel:
    """One class: a Gaussian over windows.

    Attributes
    ----------
    mean : np.ndarray, shape (140,)
        In depths of a normal QRS.
    components : np.ndarray, shape (k, 140)
        Principal components, each of length 1.
    spread : np.ndarray, shape (k,)
        Their standard deviations.
    rr_ratio : float
        The window's RR interval, in sinus intervals.
    """

    mean: Floats
    components: Floats
    spread: Floats
    rr_ratio: float

    def draw(self, start: Floats, end: Floats, rng: np.random.Generator) -> Floats:
        """Draw windows, given the values that they begin and end with.

        Parameters
        ----------
        start, end : np.ndarray, shape (n,)
            First and last value of each window, so that neighbours join.
        rng : np.random.Generator
            Where chance comes from.

        Returns
        -------
        np.ndarray, shape (n, 140)
        """
        deviation = rng.standard_normal((len(start), len(self.spread)))
        scores = self.spread * np.clip(deviation, -MAX_DEVIATION, MAX_DEVIATION)
        # A Gaussian vector s with covariance C, given E s = v, is s + C E' (E C E')^-1 (v - E s).
        ends = self.components[:, [0, -1]].T  # (2, k)
        wanted = np.stack([start, end], axis=1) - self.mean[[0, -1]]  # (n, 2)
        gain = (self.spread**2 * ends).T @ np.linalg.inv(ends * self.spread**2 @ ends.T)  # (k, 2)
        scores += (wanted - scores @ ends.T) @ gain.T
        windows: Floats = self.mean + scores @ self.components
        return windows

    def edge(self, index: int) -> tuple[float, float]:
        """Return mean and variance of the window's value at `index`."""
        return float(self.mean[index]), float(
            ((self.spread * self.components[:, index]) ** 2).sum()
        )


@cache
def load_shapes() -> Mapping[str, ShapeModel]:
    """Return the model of each class that ships with this package."""
    text = files("monitor.sources").joinpath("chf07_beats.json").read_text(encoding="utf-8")
    return {
        name: ShapeModel(
            mean=np.array(fitted["mean"]),
            components=np.array(fitted["components"]),
            spread=np.array(fitted["spread"]),
            rr_ratio=fitted["rr_ratio"],
        )
        for name, fitted in json.loads(text)["classes"].items()
    }


def draw_joints(
    shapes: Mapping[str, ShapeModel], symbol: NDArray[np.str_], rng: np.random.Generator
) -> Floats:
    """Draw the value of the ECG at each beat, where two windows join, shape (n,)."""
    chance = np.clip(rng.standard_normal(len(symbol)), -MAX_DEVIATION, MAX_DEVIATION)
    joints = np.empty(len(symbol))
    for name in np.unique(symbol):
        tail_mean, tail_variance = shapes[str(name)].edge(-1)
        follower = AFTER_ECTOPIC if name in VENTRICULAR else "N"
        head_mean, head_variance = shapes[follower].edge(0)
        # Both sides know it: the product of two Gaussians.
        weight = head_variance / (head_variance + tail_variance)
        mean = weight * tail_mean + (1 - weight) * head_mean
        of_class = symbol == name
        joints[of_class] = mean + np.sqrt(weight * tail_variance) * chance[of_class]
    return joints


def draw_windows(
    shapes: Mapping[str, ShapeModel],
    symbol: NDArray[np.str_],
    joints: Floats,
    rng: np.random.Generator,
) -> tuple[Floats, Floats, Floats]:
    """Draw the ECG between neighbouring beats.

    Parameters
    ----------
    shapes : mapping of class to ShapeModel
        As `load_shapes` returns it.
    symbol, joints : np.ndarray, shape (n + 1,)
        Class of each beat and the value of the ECG at it.
    rng : np.random.Generator
        Where chance comes from.

    Returns
    -------
    windows : np.ndarray, shape (n, 140)
        In depths of a normal QRS.
    head_rr_s, tail_rr_s : np.ndarray, shape (n,)
        RR interval at which the window's first and last part have their natural duration.
    """
    before, current = symbol[:-1], symbol[1:]
    after_ectopic = np.isin(before, VENTRICULAR)
    head = np.where(after_ectopic, AFTER_ECTOPIC, current)
    tail = np.where(after_ectopic & (current == "N"), AFTER_ECTOPIC, current)
    windows = np.empty((len(current), WINDOW_SAMPLES))
    for name in np.unique(tail):
        chosen = tail == name
        windows[chosen] = shapes[str(name)].draw(joints[:-1][chosen], joints[1:][chosen], rng)
    # In a run of ectopic beats, the first half is of one class and the second of another.
    mixed = np.flatnonzero(head != tail)
    heads = shapes[AFTER_ECTOPIC].draw(joints[mixed], joints[mixed + 1], rng)
    fade = np.clip((np.arange(WINDOW_SAMPLES) - HEAD_SAMPLES) / 31, 0, 1)
    windows[mixed] = (1 - fade) * heads + fade * windows[mixed]
    return windows, _natural_rr_s(shapes, head), _natural_rr_s(shapes, tail)


def knot_times(rr_s: Floats, head_rr_s: Floats, tail_rr_s: Floats) -> Floats:
    """Return when each point of each window is, in seconds after the beat that begins it.

    Parameters
    ----------
    rr_s : np.ndarray, shape (n,)
        The true interval between the beats.
    head_rr_s, tail_rr_s : np.ndarray, shape (n,)
        As `draw_windows` returns them.

    Returns
    -------
    np.ndarray, shape (n, 140)
        Rising, from 0 to rr_s.
    """
    last = WINDOW_SAMPLES - 1
    head_s = head_rr_s * HEAD_SAMPLES / last
    tail_s = tail_rr_s * TAIL_SAMPLES / last
    squeeze = np.minimum(1.0, (1 - SHORTEST_DIASTOLE) * rr_s / (head_s + tail_s))
    head_end_s, tail_start_s = head_s * squeeze, rr_s - tail_s * squeeze
    times = np.empty((len(rr_s), WINDOW_SAMPLES))
    tail_first = last - TAIL_SAMPLES
    times[:, : HEAD_SAMPLES + 1] = np.linspace(0, head_end_s, HEAD_SAMPLES + 1, axis=1)
    times[:, HEAD_SAMPLES : tail_first + 1] = np.linspace(
        head_end_s, tail_start_s, tail_first - HEAD_SAMPLES + 1, axis=1
    )
    times[:, tail_first:] = np.linspace(tail_start_s, rr_s, TAIL_SAMPLES + 1, axis=1)
    return times


def _natural_rr_s(shapes: Mapping[str, ShapeModel], names: NDArray[np.str_]) -> Floats:
    ratio = np.empty(len(names))
    for name in np.unique(names):
        ratio[names == name] = shapes[str(name)].rr_ratio
    return MEAN_RR_S * ratio
