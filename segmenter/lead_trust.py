"""How far a lead is to be believed where the leads of a patient differ about a beat.

Where two detectors agree, both are nearly always right: that is the best known measure of a signal
(Li, Mark, Clifford 2008). Where one finds a beat and the other does not, `evidence` weighs it. The
weights are near those of a logistic regression on what single leads found in the records with an
even number of the MIT-BIH records in sight, rounded to halves (`docs/SEGMENTER.md`).

Li, Mark, Clifford: Robust heart rate estimation from multiple asynchronous noisy sources using
signal quality indices and a Kalman filter. Physiol Meas 29 (2008) 15-32.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, log
from typing import Any, NamedTuple

from segmenter.errors import InvalidState
from segmenter.lead_detector import Echo
from segmenter.qrs import GIANT, LEVELS_KEPT, Detection, finite, keep, median
from segmenter.state import listing, truth

MEMORY_BEATS = 16  # over so many beats a lead's misses and inventions are averaged
UNKNOWN = 0.05  # added to both: what never happened yet may happen
LOWEST = 0.05  # of the usual height: lower is not told apart
NO_CREST = 0.5  # no lower; a crest is about 1.5 in noise and 3 and more with QRS complexes
FEW_BEATS_CREST = 2.0  # until it can be measured
ECHOES_KEPT = 16  # candidates of a lead, about 5 s of them

# Log-odds that a beat found by one lead alone is one.
PRIOR = -2.0
EARLY = -4.0  # a usual interval that it comes too early ...
EARLY_FROM, EARLY_MOST = 0.9, 0.6  # ... counted from here on, up to so much
PAUSE = 1.0  # without it the beats would be far apart
ECHO = 3.0  # a silent lead has a peak there, as high for it as this one for the other
LOW = 2.5  # of the logarithm of height over usual height, where it is lower
MISSED = 1.5  # of the logarithm of the beats that the silent lead missed of late
INVENTED = -1.0  # of the logarithm of the beats that this lead invented of late
CREST = 3.0  # of the logarithm of this lead's crest: the usual height over the mean of the envelope


class Claim(NamedTuple):
    """A beat that one lead found and others did not, in what the evidence depends on."""

    height: float  # over the usual one of the lead
    crest: float  # of the lead
    invented: float  # of the lead
    echo: float  # height there in a silent lead over its usual one
    missed: float  # of that lead
    interval: float  # since the last beat, in usual intervals
    pause: bool  # it lies between beats that are far apart


def evidence(claim: Claim) -> float:
    """Return the log-odds that what one lead found alone is a beat.

    >>> sure = Claim(1.0, 6.0, 0.0, 0.0, 0.3, 1.0, False)
    >>> evidence(sure) > 0  # of a clear lead, when a beat is due; the silent one misses some
    True
    >>> evidence(sure._replace(interval=0.4, missed=0.0)) > 0  # the silent one never does
    False
    """
    height = max(claim.height, LOWEST)
    level = min(log(height), 0.0) if height < GIANT else log(GIANT / height)
    early = 0.0 if claim.pause else min(max(EARLY_FROM - claim.interval, 0.0), EARLY_MOST)
    return (
        PRIOR
        + EARLY * early
        + PAUSE * claim.pause
        + ECHO * min(claim.echo / max(height, 2 * LOWEST), 1.0)
        + LOW * level
        + MISSED * log(claim.missed + UNKNOWN)
        + INVENTED * log(claim.invented + UNKNOWN)
        + CREST * log(max(claim.crest, NO_CREST))
    )


def probability(log_odds: float) -> float:
    """Return the probability of log-odds."""
    return 1 / (1 + exp(-max(min(log_odds, 20.0), -20.0)))


class LeadTrust:
    """What is remembered of one lead's detector.

    Attributes
    ----------
    missed : float
        Of the latest beats of the patient, the part that this lead did not find.
    invented : float
        Of what it found of late, the part that was no beat.
    present : bool
        It has found a beat since it began or came back.
    noisy : bool
        So was the last beat that it found.
    """

    def __init__(self) -> None:
        self.missed = 0.0
        self.invented = 0.0
        self.echoes: list[Echo] = []
        self.forget()

    def forget(self) -> None:
        """Start anew with the lead's detector: its levels are learnt again."""
        self.present = False
        self.noisy = False
        self.heights: list[float] = []  # of beats of the patient
        # Of all that it found, beats or not: the peak, its height and the envelope's running total.
        self.peaks: list[tuple[int, float, int]] = []

    def found(self, detection: Detection) -> None:
        """Take what the lead's detector found, a beat or not."""
        self.present = True
        self.noisy = detection.noisy
        keep(self.peaks, (detection.peak, detection.height, detection.total), LEVELS_KEPT + 1)

    def judged(self, was_beat: float) -> None:
        """Learn with what probability something that the lead found was a beat."""
        self.invented += (1 - was_beat - self.invented) / MEMORY_BEATS

    def shows(self, height: float) -> None:
        """Learn of a beat of the patient that this lead found, with what height."""
        keep(self.heights, height, LEVELS_KEPT)
        self.misses(0.0)

    def misses(self, missed: float) -> None:
        """Learn with what probability this lead missed a beat of the patient."""
        self.missed += (missed - self.missed) / MEMORY_BEATS

    def shows_late(self, height: float) -> None:
        """Learn that the last beat was not missed after all."""
        keep(self.heights, height, LEVELS_KEPT)
        self.missed = max(self.missed - 1 / MEMORY_BEATS, 0.0)

    @property
    def last_peak(self) -> int:
        """Where the lead last found something; -1 if it did not."""
        return self.peaks[-1][0] if self.peaks else -1

    @property
    def level(self) -> float:
        """The usual height, in mV of the envelope; 0 if none is known."""
        return median(self.heights) if self.heights else 0.0

    def crest(self, scale: float) -> float:
        """Return the height of what the lead found of late over the mean of the envelope."""
        if len(self.peaks) < 3:
            return FEW_BEATS_CREST
        (first, _, before), (last, _, total) = self.peaks[0], self.peaks[-1]
        area = (total - before) / scale
        height = median([one[1] for one in self.peaks])
        return height * (last - first) / area if area > 0 else FEW_BEATS_CREST

    def echo(self, peak: int, reach: int) -> Echo | None:
        """Return the highest of the lead's peaks there, if there is one."""
        near = [one for one in self.echoes if abs(one.peak - peak) <= reach]
        return max(near, key=lambda one: one.height) if near else None

    def echo_height(self, peak: int, reach: int) -> float:
        """Return how high it is over the usual height; 0 if there is none."""
        echo, level = self.echo(peak, reach), self.level
        return echo.height / level if echo is not None and level else 0.0

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {
            "missed": self.missed,
            "invented": self.invented,
            "present": self.present,
            "noisy": self.noisy,
            "heights": list(self.heights),
            "peaks": [list(one) for one in self.peaks],
            "echoes": [list(one) for one in self.echoes],
        }

    def restore(self, plain: Mapping[str, Any]) -> None:
        """Take a state from `to_plain`; InvalidState if it cannot be one."""
        self.missed, self.invented = part(plain, "missed"), part(plain, "invented")
        self.present, self.noisy = truth(plain, "present"), truth(plain, "noisy")
        self.heights = finite(listing(plain, "heights", LEVELS_KEPT))
        peaks = [numbers(one, 3) for one in listing(plain, "peaks", LEVELS_KEPT + 1)]
        self.peaks = [(one[0], one[1], one[2]) for one in peaks]
        self.echoes = [Echo(*numbers(one, 4)) for one in listing(plain, "echoes", ECHOES_KEPT)]


def part(plain: Mapping[str, Any], name: str) -> float:
    """Return a saved number of 0 to 1."""
    value = plain.get(name)
    if type(value) not in (int, float) or not 0 <= value <= 1:  # type: ignore[operator]
        raise InvalidState(f"saved state: {name} is {value!r}, not a part of 1")
    return float(value)  # type: ignore[arg-type]


def numbers(saved: object, n: int) -> list[Any]:
    """Return so many saved numbers."""
    if not isinstance(saved, list) or len(saved) != n:
        raise InvalidState(f"saved state: {saved!r} are not {n} numbers")
    return finite(saved)
