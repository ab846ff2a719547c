"""A threshold from the losses of normal beats alone: a stated rate of false alerts, no labels.

A false alert an hour is about one beat in 5,000, further out than most samples of losses reach, so
the tail is extrapolated: losses above a high quantile follow a generalised Pareto distribution
(peaks over threshold: Pickands 1975; Coles 2001, chapter 4), fitted by probability-weighted moments
(Hosking, Wallis 1987), which stay sane for small samples. Its shape is bounded towards too
high a threshold rather than too low a one: a false alert an hour is heard, a beat narrowly missed
rarely matters.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from statistics import NormalDist
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from model.errors import InvalidBeats, InvalidConfig

Method = Literal["tail", "log-normal", "gap", "manual"]

MIN_LOSSES = 20  # the median and the spread of fewer say nothing about a tail
MIN_TAIL_LOSSES = 40  # from here on the tail fit misses the rate by less than the fallback does
TAIL_SHARE = 0.15  # of the losses lie in the fitted tail
# Of the fitted tail. A negative shape would be a hard upper end, which losses lack. Over samples of
# 400 losses of several distributions these bounds keep the mean rate at or below the target; -0.25
# to 0.4 gave three to four and a half times as many false alerts.
SHAPE_BOUNDS = (0.0, 0.3)
# A gap between normal and other losses: they jump by half or more, within four times the threshold
# of the tail. On 20 records of MIT-BIH (PCA losses, learnt on five minutes) false alerts an hour
# fell from 163 to 36 (median), recall from .81 to .80; a jump of a quarter cost .03 of recall.
GAP_RATIO, GAP_REACH = 1.5, 4.0
N_BOOTSTRAP = 200
LOWEST, HIGHEST = 1e-9, 1e12  # of a threshold: any loss over it stays a finite number
MAD_TO_SD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Threshold:
    """A loss above which a beat is anomalous, and where it comes from.

    Attributes
    ----------
    value : float
        In units of the reconstruction loss.
    method : {"tail", "log-normal", "gap", "manual"}
        "tail": generalised Pareto fit; "log-normal": robust fallback for few losses; "gap": moved
        up into a gap between the losses; "manual": given by a person.
    false_alerts_per_beat : float or None
        The share of normal beats meant to lie above; None where it was given by hand.
    low, high : float or None
        5th and 95th percentile of the value over bootstrap samples; the range covers somewhat
        less than 90 %, as a bootstrap of a tail does. None where it was given by hand.
    n_losses : int
        Losses it was set from; 0 where it was given by hand.
    """

    value: float
    method: Method = "manual"
    false_alerts_per_beat: float | None = None
    low: float | None = None
    high: float | None = None
    n_losses: int = 0

    def __post_init__(self) -> None:
        numbers = [self.value, self.false_alerts_per_beat, self.low, self.high]
        if not all(_is_positive(number) for number in numbers if number is not None):
            raise InvalidConfig(
                f"threshold {self.value!r} or its interval is not a positive number; fit it again"
            )
        if self.value is None or self.method not in get_args(Method):
            raise InvalidConfig(
                f"threshold method {self.method!r} is unknown; use tail or log-normal"
            )
        if not isinstance(self.n_losses, int) or self.n_losses < 0:
            raise InvalidConfig(
                f"threshold fitted to {self.n_losses!r} losses; their number is a whole one, 0 "
                "or more"
            )

    def to_mapping(self) -> dict[str, Any]:
        """Return the plain values, as kept in a checkpoint's JSON."""
        return asdict(self)


def threshold_from_losses(losses: ArrayLike, false_alerts_per_beat: float) -> Threshold:
    """Set a threshold that a share `false_alerts_per_beat` of normal beats exceeds.

    The threshold falls as the target rises. With at least 40 losses the tail is fitted; with fewer
    the logarithms of the losses are taken as normal, by median and median absolute deviation.

    Parameters
    ----------
    losses : array_like, shape (n,)
        Losses of normal beats that the model was not trained on, at least 20.
    false_alerts_per_beat : float
        Between 0 and 0.5.

    Raises
    ------
    InvalidBeats
        If losses are too few, negative or not finite.
    InvalidConfig
        If the target is out of bounds.
    """
    if not 0 < false_alerts_per_beat <= 0.5:  # NaN fails too
        raise InvalidConfig(
            f"false alerts per beat {false_alerts_per_beat!r} is out of range; use more than 0 and "
            "at most 0.5"
        )
    checked = _check_losses(losses)
    method: Method = "tail" if len(checked) >= MIN_TAIL_LOSSES else "log-normal"
    quantile = _tail_quantile if method == "tail" else _log_normal_quantile
    value = quantile(checked, false_alerts_per_beat)
    generator = np.random.default_rng(0)  # the same losses give the same interval
    resampled = [
        quantile(generator.choice(checked, len(checked)), false_alerts_per_beat)
        for _ in range(N_BOOTSTRAP)
    ]
    low, high = np.quantile(resampled, [0.05, 0.95])
    return Threshold(
        value=value,
        method=method,
        false_alerts_per_beat=float(false_alerts_per_beat),
        low=min(float(low), value),
        high=max(float(high), value),
        n_losses=len(checked),
    )


def moved_into_gap(threshold: Threshold, losses: ArrayLike) -> Threshold:
    """Move a threshold up into the widest gap above it, where there is a clear one.

    The normal beats that a threshold is set from are the most usual ones; the less usual, such as
    those beside an ectopic beat, lie above it, and the anomalies far above both. No label is asked:
    where the sorted losses leave no gap, the threshold stays.

    Parameters
    ----------
    threshold : Threshold
        From losses of the dominant beats.
    losses : array_like, shape (n,)
        Of all beats of the same time that the model was not trained on.
    """
    ceiling = GAP_REACH * threshold.value
    above = np.sort(np.asarray(losses, np.float64))
    above = above[(above > threshold.value) & (above < ceiling)]
    beyond = [ceiling] if np.max(losses, initial=0.0) >= ceiling else []
    edges = np.concatenate(([threshold.value], above, beyond))
    if len(edges) < 2:
        return threshold
    jumps = edges[1:] / edges[:-1]
    widest = int(np.argmax(jumps))
    if jumps[widest] < GAP_RATIO:
        return threshold
    value = math.sqrt(edges[widest] * edges[widest + 1])
    return replace(
        threshold,
        value=value,
        method="gap",
        low=threshold.value,
        high=max(value, threshold.high or value),
    )


def _check_losses(losses: ArrayLike) -> NDArray[np.float64]:
    checked = np.asarray(losses, dtype=np.float64)
    if checked.ndim != 1 or len(checked) < MIN_LOSSES:
        raise InvalidBeats(
            f"losses have the shape {checked.shape}; a threshold needs a row of at least "
            f"{MIN_LOSSES}"
        )
    if not np.isfinite(checked).all() or (checked < 0).any() or not checked.any():
        raise InvalidBeats(
            "losses are NaN, infinite, negative or all zero; check the beats they came from"
        )
    return checked


def _tail_quantile(losses: NDArray[np.float64], exceedance: float) -> float:
    """Return the loss that a share `exceedance` of the distribution lies above."""
    if exceedance >= TAIL_SHARE:
        return float(np.quantile(losses, 1 - exceedance))
    start = float(np.quantile(losses, 1 - TAIL_SHARE))
    scale, shape = _fit_generalised_pareto(losses[losses > start] - start)
    ratio = exceedance / TAIL_SHARE
    if abs(shape) < 1e-6:
        return start - scale * math.log(ratio)
    return start + scale / shape * (math.exp(-shape * math.log(ratio)) - 1)


def _fit_generalised_pareto(excesses: NDArray[np.float64]) -> tuple[float, float]:
    """Return scale and shape by probability-weighted moments; (0, 0) where all losses are equal."""
    if not len(excesses):
        return 0.0, 0.0
    ordered = np.sort(excesses)
    n = len(ordered)
    weights = 1 - (np.arange(1, n + 1) - 0.35) / n  # Hosking and Wallis's plotting positions
    mean, weighted = float(ordered.mean()), float((weights * ordered).mean())
    shape = float(np.clip(2 - mean / max(mean - 2 * weighted, 1e-12), *SHAPE_BOUNDS))
    return mean * (1 - shape), shape  # the scale that keeps the mean at a bounded shape


def _log_normal_quantile(losses: NDArray[np.float64], exceedance: float) -> float:
    logs = np.log(np.maximum(losses, 1e-9))
    median = float(np.median(logs))
    spread = MAD_TO_SD * float(np.median(np.abs(logs - median)))
    return math.exp(median + spread * NormalDist().inv_cdf(1 - exceedance))


def _is_positive(number: object) -> bool:
    return (
        isinstance(number, (int, float))
        and not isinstance(number, bool)
        and LOWEST <= number <= HIGHEST  # NaN fails too
    )
