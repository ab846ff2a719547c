"""What a beat's loss is worth: evidence in its patient's own units, weighed on other patients.

A loss alone says that a beat is unlike the learnt ones, not whether a cardiologist would call it
anomalous. So each beat gets a few numbers with a physiological reason:

    loss      log of the loss over the usual loss, mean over the leads: they must agree
    unlike    log(1 - correlation of the QRS complex with the template), mean over the leads
    early     log(usual RR / RR) over the patient's own irregularity: in atrial fibrillation no
              single beat is early; a rate that rises step by step makes none early either
    early_p   the smaller of `early` and the loss in the P wave: a premature atrial beat is both
    pause     the smaller of the pause behind the beat and its prematurity: a compensatory pause
    noise     residue of high frequency over the usual one, of the worst lead; it takes back what a
              shape says, not what an early beat says
    baseline  how far the baseline moved during the beat, of the worst lead

The logit of the probability is additive in them, each term a sum of hinges that only rises (loss,
unlike, early, early_p, pause) or only falls (noise, baseline). What the hinges weigh is fitted once
to labelled beats of other patients (`fit_weights`, tools/fit_evidence.py) and ships as
`checkpoints/evidence.json`; no label of the monitored patient is used.

    weighted loss = threshold * exp((logit - logit of the cut) / weight of the log loss)

is above the threshold exactly where the probability is above the cut, and a beat of twice the loss
has twice the weighted loss: thresholds, `+` and `-` keep their meaning.

The usual RR interval, its irregularity and the usual losses are followed beat by beat, bounded and
guarded: what is early or has twice the usual loss does not become usual.

Noise is where most of the last beats have more than the usual loss and no two beats are alike:
ectopic beats resemble each other, and the beats between them are normal. The more so, the larger is
the `doubt`: how far a beat's score must lie from 1 to be believed. Others should get no verdict,
unless they are of a family that is known (`families`).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.errors import InvalidConfig
from model.scoring import beat_errors
from model.tracking import Normal

Floats = NDArray[np.float64]

# Of a beat cut by the "typical" window, as shares of it.
P_WAVE = (0.0, 0.34)
QRS_HALF = 0.1  # to either side of the template's R peak: 75 ms at 80 beats a minute
QUIET = ((0.0, 0.31), (0.57, 1.0))  # where no QRS complex is: high frequencies there are noise
EDGE = 0.1  # at either end, averaged for the baseline

FIRST_INTERVALS = 8  # before so many are known, no beat is early
FOLLOWED_INTERVALS = 24.0  # time constant of the usual RR interval, while beats come in time
IN_TIME = 0.12  # of log(RR / usual): follows fully; twice as far off, a twelfth as fast
LEAST_FOLLOWED = 0.08  # a new rhythm becomes the usual one within some minutes
MAX_STEP = 0.3  # of log RR that one interval counts for
IRREGULAR_BEATS = 32.0  # time constant of the irregularity
FIRST_IRREGULAR = 0.02
MAX_IRREGULAR = 0.25
MIN_SPREAD, SPREADS = 0.03, 2.5  # of log RR: prematurity is in units of .03 + 2.5 irregularities

BLOCK_BEATS = 16  # the usual loss is followed once in so many: a median, whatever the cut
MIN_ACCEPTED = 6  # of a block, to be followed
FOLLOW_BLOCK = 0.25  # of the way to a block's median
ACCEPTED = 0.75  # of log loss above the usual: 2.1 times; more may be an anomaly
MAX_FOLLOWED = 1.0  # of log loss, to either side of the learnt
FOLLOWED_SHARE = 0.5  # of the followed change that is taken off: a patient who got worse did so

ALIKE_BEATS = 6  # the last ones, beside which a beat is laid
SHAPE_SAMPLES = 35
MAX_UNLIKE = 0.4  # of 1 - correlation: an ectopic beat among normal ones is no more than noise
USUAL_UNLIKE_BEATS = 512  # that a lead's usual one is the running mean of
UNREST_BEATS = 8.0  # time constant of how unlike each other the beats are
REST, UNREST = 0.01, 0.04  # above the usual, of the last beats: no noise, noise
RECENT_BEATS, CALM_RANK = 8, 2  # the third lowest loss of the last eight: not a few ectopic beats
CALM, STIRRED = (
    0.3,
    1.0,
)  # of its log: up to 1.3 times the usual there is no noise, 2.7 times: noise
DOUBT = 2.5  # in log of the score, of such noise: 12 thresholds; with the square of how far beyond
MOST_NOISE = 3.0  # ... at most
LOST_LEADS = 1.0  # so much more doubt where all leads but the judged ones cannot be read
STEADY_EARLY, STEADY_STEP = 0.2, 0.1  # of log RR: early beats at even intervals are a tachycardia
GRADUAL = 0.07  # of log RR: an interval no shorter than the last ones is so much less early

HIGHEST, LOWEST = 8.0, -8.0  # of a measure: bounds on what damaged values can do
MAX_LEADS = 16
TIMED_COLUMNS = 5  # what _Follower returns of a beat, before a column a lead
MIN_PER_LOG_LOSS = 0.01  # of the logit; it is the unit of scores
MAX_BEYOND = 20.0  # of the log of a ratio: bounds what a sum of all evidence says


@dataclass(frozen=True)
class Term:
    """One piece of evidence: a sum of hinges of one measure.

    Attributes
    ----------
    measure : str
        One of MEASURES.
    knots : tuple of float
        The hinge max(0, measure - knot) of each; the first knot may be -8: a straight line.
    weights : tuple of float
        What each hinge adds to the logit: all of one sign.
    """

    measure: str
    knots: tuple[float, ...]
    weights: tuple[float, ...]


MEASURES = ("loss", "unlike", "early", "early_p", "pause", "noise", "baseline")
FALLING = frozenset({"noise", "baseline"})  # they take evidence back
KNOTS: Mapping[str, tuple[float, ...]] = {
    "loss": (LOWEST, 1.0),
    "unlike": (-3.5, -2.5, -1.5),
    "early": (0.5, 1.0, 2.0),
    "early_p": (0.0, 1.0),
    "pause": (0.0,),
    "noise": (0.0, 0.5),
    "baseline": (0.3, 0.8),
}


@dataclass(frozen=True)
class EvidenceWeights:
    """What evidence is worth, weighed on labelled beats of other patients.

    Attributes
    ----------
    intercept : float
        The logit of a beat that nothing speaks for.
    terms : tuple of Term
    cut : float
        The probability above which a beat is anomalous.
    provenance : mapping
        Data, command, what was in sight.
    """

    intercept: float
    terms: tuple[Term, ...]
    cut: float
    provenance: Mapping[str, object]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.intercept) and abs(self.intercept) < 1e4 and 0 < self.cut < 1):
            raise InvalidConfig(
                f"evidence with intercept {self.intercept!r} and cut {self.cut!r} is out of range; "
                "fit it again with tools/fit_evidence.py"
            )
        if tuple(term.measure for term in self.terms) != MEASURES:
            raise InvalidConfig(f"evidence needs the terms {', '.join(MEASURES)}, in this order")
        for term in self.terms:
            sign = -1 if term.measure in FALLING else 1
            sound = len(term.knots) == len(term.weights) > 0
            sound = sound and all(0 <= sign * one < 1e3 for one in term.weights)
            if not (sound and all(abs(knot) <= HIGHEST for knot in term.knots)):
                raise InvalidConfig(f"the evidence of {term.measure} has knots or weights amiss")
        if self.per_log_loss < MIN_PER_LOG_LOSS:
            raise InvalidConfig("evidence in which the loss weighs nothing is no evidence")

    @property
    def identity(self) -> str:
        """Eight hex digits that two share only if they judge alike."""
        judged_by = (self.intercept, self.cut, [(one.knots, one.weights) for one in self.terms])
        return hashlib.sha256(repr(judged_by).encode()).hexdigest()[:8]

    @property
    def per_log_loss(self) -> float:
        """What a beat of e times the loss gains in the logit."""
        return self.terms[0].weights[0]

    @property
    def cut_logit(self) -> float:
        """The logit of the cut."""
        return math.log(self.cut / (1 - self.cut))

    def logits(self, measures: Floats) -> Floats:
        """Return the log odds that beats are anomalous, shape (n,); NaN where not measured.

        Parameters
        ----------
        measures : np.ndarray, shape (n, len(MEASURES))
        """
        total = np.full(len(measures), self.intercept)
        for column, term in enumerate(self.terms):
            values = np.ascontiguousarray(measures[:, column])
            for knot, weight in zip(term.knots, term.weights, strict=True):
                if weight:
                    total += weight * np.maximum(0.0, values - knot)
        return total

    def probabilities(self, measures: Floats) -> Floats:
        """Return the probabilities that beats are anomalous, shape (n,)."""
        return np.asarray(1 / (1 + np.exp(-self.logits(measures))))

    def ratios(self, measures: Floats) -> Floats:
        """Return the weighted losses over the threshold, shape (n,): above 1 above the cut."""
        beyond = (self.logits(measures) - self.cut_logit) / self.per_log_loss
        return np.asarray(np.exp(np.minimum(beyond, MAX_BEYOND)))


@dataclass(frozen=True)
class UsualLead:
    """One lead's usual beats in the units that evidence is counted in; made by `usual_lead`.

    Attributes
    ----------
    log_loss : float
        Log of the median loss of usual beats that were not trained on.
    qrs : np.ndarray, shape (k,), float32
        The template about its R peak, mean 0, of length 1.
    first : int
        Its first sample.
    noise : float
        Log of the usual residue of high frequency.
    baseline : float
        The usual move of the baseline during a beat.
    """

    log_loss: float
    qrs: NDArray[np.float32]
    first: int
    noise: float
    baseline: float


def usual_lead(normal: Normal, template: NDArray[np.float32]) -> UsualLead:
    """Return a lead's units from what was learnt of it.

    Parameters
    ----------
    normal : Normal
        With the median loss of its usual beats.
    template : np.ndarray, shape (length,), float32
        The autoencoder's.
    """
    length = len(template)
    centre = int(np.argmax(np.abs(template - np.median(template))))
    half = round(QRS_HALF * length)
    first = min(max(0, centre - half), length - 2 * half - 1)
    qrs = template[first : first + 2 * half + 1]
    qrs = qrs - qrs.mean()
    exemplars = normal.exemplars
    return UsualLead(
        log_loss=math.log(normal.usual_loss),
        qrs=(qrs / max(float(np.sqrt((qrs * qrs).sum())), 1e-9)).astype(np.float32),
        first=first,
        noise=float(np.median(_noise(exemplars))),
        baseline=float(np.median(_baseline(exemplars))),
    )


class EvidenceState(NamedTuple):
    """What is followed of one patient; the beginning by default.

    Attributes
    ----------
    first : tuple of float
        Log of the first FIRST_INTERVALS RR intervals, in ms.
    usual : float
        Log of the usual RR interval.
    irregular : float
        Running mean of how far log RR is from the nearest of the three before: small in bigeminy
        and trigeminy, large in atrial fibrillation.
    last : tuple of float
        Log of the last three RR intervals.
    in_block : int
        Beats of the present block.
    moved : tuple of float
        How far the usual log loss of each lead has moved since it was learnt.
    accepted : tuple of tuple of float
        Log losses of the present block's usual beats of each lead, over the learnt.
    unlike : tuple of float
        Usual 1 - correlation of a beat with the most alike of those before it, of each lead.
    compared : tuple of int
        Beats that this is the mean of, at most USUAL_UNLIKE_BEATS.
    shapes : bytes
        float32, (beats, leads, SHAPE_SAMPLES): shapes of the last ALIKE_BEATS beats.
    unrest : float
        How unlike each other the last beats are, over the usual.
    losses : tuple of float
        Log losses of the last RECENT_BEATS beats, mean over the leads.
    """

    first: tuple[float, ...] = ()
    usual: float = 0.0
    irregular: float = FIRST_IRREGULAR
    last: tuple[float, ...] = ()
    in_block: int = 0
    moved: tuple[float, ...] = ()
    accepted: tuple[tuple[float, ...], ...] = ()
    unlike: tuple[float, ...] = ()
    compared: tuple[int, ...] = ()
    shapes: bytes = b""
    unrest: float = 0.0
    losses: tuple[float, ...] = ()

    @property
    def is_sane(self) -> bool:
        """Whether a state that was read from bytes can be gone on from."""
        logs = (*self.first, *self.last, *self.losses, self.usual)
        n_leads = len(self.moved)
        beat_bytes = 4 * n_leads * SHAPE_SAMPLES
        n_shapes = len(self.shapes) // beat_bytes if beat_bytes else 0
        most_unlike = MAX_UNLIKE + 1e-6  # running means are rounded
        return (
            len(self.first) <= FIRST_INTERVALS
            and len(self.last) <= 3
            and n_leads <= MAX_LEADS
            and len(self.accepted) == len(self.unlike) == len(self.compared) == n_leads
            and 0 <= self.in_block < BLOCK_BEATS
            and all(abs(one) < 50 for one in logs)  # NaN fails too
            and 0 <= self.irregular <= MAX_IRREGULAR
            and all(abs(one) <= MAX_FOLLOWED for one in self.moved)
            and all(len(block) < BLOCK_BEATS for block in self.accepted)
            and all(abs(one) < 50 for block in self.accepted for one in block)
            and all(-1e-6 <= one <= most_unlike for one in self.unlike)
            and all(0 <= one <= USUAL_UNLIKE_BEATS for one in self.compared)
            and n_shapes <= ALIKE_BEATS
            and n_shapes * beat_bytes == len(self.shapes)
            and bool((np.abs(np.frombuffer(self.shapes, "<f4")) <= 1.001).all())
            and abs(self.unrest) <= most_unlike
            and len(self.losses) <= RECENT_BEATS
        )

    def learnt(self) -> EvidenceState:
        """Return the state behind a learning: what beats look like goes on, losses begin."""
        nothing: tuple[float, ...] = ()
        return self._replace(
            moved=(0.0,) * len(self.moved),
            accepted=(nothing,) * len(self.moved),
            in_block=0,
            losses=(),
        )


@dataclass(frozen=True)
class BeatRows:
    """Beats to measure: n rows, as tracked and scored.

    Attributes
    ----------
    losses : np.ndarray, shape (n, leads)
        NaN where a lead has none.
    beats, inputs, reconstructions : np.ndarray, shape (n, leads, length), float32
        As they came, as they were given to the autoencoder, and what it made of those that came.
    readable : np.ndarray, shape (n, leads), bool
        Whether a lead's beat can be judged; while a patient is learnt there is no loss yet, and
        what usual beats look like is followed.
    rr_before_ms, rr_after_ms : np.ndarray, shape (n,)
        NaN where there is none.
    """

    losses: NDArray[np.floating]
    beats: NDArray[np.float32]
    inputs: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    readable: NDArray[np.bool_]
    rr_before_ms: NDArray[np.floating]
    rr_after_ms: NDArray[np.floating]


@dataclass(frozen=True)
class Measured:
    """What speaks for each of n beats.

    Attributes
    ----------
    measures : np.ndarray, shape (n, len(MEASURES))
        NaN where no lead has a loss.
    early : np.ndarray, shape (n,)
        log(usual RR / RR); 0 where it is not known.
    doubt : np.ndarray, shape (n,)
        How far a score must lie from 1 to be believed, in log; 0 outside noise.
    """

    measures: Floats
    early: Floats
    doubt: Floats


def measure(
    state: EvidenceState, usual: Sequence[UsualLead | None], rows: BeatRows
) -> tuple[EvidenceState, Measured]:
    """Measure one patient's beats: `measure_all` of one."""
    of = [("", len(rows.losses))]
    states, measured = measure_all({"": state}, of, {"": usual}, rows)
    return states[""], measured


def measure_all(
    states: Mapping[str, EvidenceState],
    of: Iterable[tuple[str, int]],
    usual: Mapping[str, Sequence[UsualLead | None]],
    rows: BeatRows,
) -> tuple[dict[str, EvidenceState], Measured]:
    """Measure beats of many patients of as many leads; any cut gives the same to the bit.

    Parameters
    ----------
    states : mapping of str to EvidenceState
        Where each patient is.
    of : iterable of (str, int)
        Whose beats the next rows are, and how many; the same one may come again.
    usual : mapping of str to sequence of UsualLead or None
        What was learnt of each patient's leads; None is a lead that was not learnt, whose losses
        are not looked at.
    rows : BeatRows

    Returns
    -------
    dict of str to EvidenceState
        Where the patients are now.
    Measured
    """
    counts = list(of)
    leads = measure_leads(counts, usual, rows)
    known = np.isfinite(leads.log_loss)
    shapes_after, unlike_before = _unlike_before(states, counts, rows.inputs, rows.readable)
    n_leads = known.shape[1]
    after = dict(states)
    timed = np.empty((len(known), TIMED_COLUMNS + n_leads))
    row_of = enumerate(
        zip(
            rows.rr_before_ms.tolist(),
            rows.rr_after_ms.tolist(),
            leads.log_loss.tolist(),
            unlike_before.tolist(),
            strict=True,
        )
    )
    for name, n_beats in counts:
        follower = _Follower(after[name], n_leads)
        for row, beat in islice(row_of, n_beats):
            timed[row] = follower.take(*beat)
        after[name] = follower.state(shapes_after[name])
    measures = _measures(leads, timed)
    measures[~known.any(axis=1)] = np.nan
    return after, Measured(measures, timed[:, 0].copy(), timed[:, 3].copy())


def _unlike_before(
    states: Mapping[str, EvidenceState],
    of: Sequence[tuple[str, int]],
    inputs: NDArray[np.float32],
    known: NDArray[np.bool_],
) -> tuple[dict[str, bytes], Floats]:
    """Return the last beats' shapes by patient, and how unlike those before it each beat is.

    The latter is 1 - correlation with the most alike of the last ALIKE_BEATS, shape (n, leads), at
    most MAX_UNLIKE; NaN where a lead is not known, or was not in any of them.
    """
    n_leads = known.shape[1]
    beat_bytes = 4 * n_leads * SHAPE_SAMPLES
    shapes = beat_shapes(inputs, known)
    before = {name: states[name].shapes for name, _ in of}
    before = {name: one if len(one) % beat_bytes == 0 else b"" for name, one in before.items()}
    kept = np.frombuffer(b"".join(before.values()), "<f4").reshape(-1, n_leads, SHAPE_SAMPLES)
    nothing = np.zeros((1, n_leads, SHAPE_SAMPLES), np.float32)
    table = np.concatenate([nothing, kept, shapes])
    recent: dict[str, list[int]] = {}
    place = 1
    for name, one in before.items():
        n_kept = len(one) // beat_bytes
        recent[name] = list(range(place, place + n_kept))
        place += n_kept
    rows: list[list[int]] = []
    is_known: list[bool] = np.any(known, axis=1).tolist()
    for name, n_beats in of:
        lately = recent[name]
        for _ in range(n_beats):
            rows.append([*lately, *[0] * (ALIKE_BEATS - len(lately))])
            if is_known[len(rows) - 1]:
                lately = [*lately, place + len(rows) - 1][-ALIKE_BEATS:]
        recent[name] = lately
    indices = np.array(rows, np.intp).reshape(-1, ALIKE_BEATS)
    alike = np.full(known.shape, -np.inf)
    for column in range(ALIKE_BEATS):  # sums by rows: any batch gives the same
        earlier = table[indices[:, column]]
        product = (earlier * shapes).sum(axis=2, dtype=np.float64)
        seen = np.any(earlier != 0, axis=2)
        alike = np.maximum(alike, np.where(seen, product, -np.inf))
    unlike = np.where(known & np.isfinite(alike), np.clip(1 - alike, 0.0, MAX_UNLIKE), np.nan)
    return {name: table[one].tobytes() for name, one in recent.items()}, unlike


def beat_shapes(beats: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return what beats look like, (n, leads, SHAPE_SAMPLES): means of stretches, mean 0, length 1.

    Zeros where a lead is flat or not known, shape (n, leads). 25 ms a value at 75 beats a minute: a
    QRS complex is three or four of them.
    """
    length = beats.shape[2]
    edges = np.arange(SHAPE_SAMPLES) * length // SHAPE_SAMPLES
    counts = np.diff(np.append(edges, length)).astype(np.float32)
    shapes = np.add.reduceat(beats, edges, axis=2, dtype=np.float32) / counts
    shapes -= shapes.sum(axis=2, keepdims=True) / np.float32(SHAPE_SAMPLES)
    norms = np.sqrt((shapes * shapes).sum(axis=2, keepdims=True))
    sound = (norms > 1e-6) & known[:, :, None]
    return np.where(sound, shapes / np.maximum(norms, 1e-6), 0.0).astype("<f4")


@dataclass(frozen=True)
class LeadMeasures:
    """What each lead says of each beat by itself, shape (n, leads); NaN where it has no loss."""

    log_loss: Floats  # over the learnt
    log_p_loss: Floats  # of the P wave's part of the loss
    unlike: Floats
    noise: Floats
    baseline: Floats


def measure_leads(
    of: Sequence[tuple[str, int]],
    usual: Mapping[str, Sequence[UsualLead | None]],
    rows: BeatRows,
) -> LeadMeasures:
    """Return what each lead says of each beat by itself."""
    n, n_leads, length = rows.beats.shape
    places = np.repeat(np.arange(len(of)), [count for _, count in of])
    units = [[_NOT_LEARNT if one is None else one for one in usual[name]] for name, _ in of]
    numbers = np.array(
        [[(u.log_loss, u.noise, u.baseline, u.first) for u in one] for one in units] or [[]]
    ).reshape(-1, n_leads, 4)[places]  # (n, leads, 4)
    qrs = np.zeros((len(of), n_leads, 2 * round(QRS_HALF * length) + 1), np.float32)
    for place, one in enumerate(units):
        for lead, unit in enumerate(one):
            if unit is not _NOT_LEARNT:
                qrs[place, lead] = unit.qrs
    flat = n * n_leads, length
    beats, inputs = rows.beats.reshape(flat), rows.inputs.reshape(flat)
    per_lead = numbers.reshape(n * n_leads, 4)
    p_wave = slice(round(P_WAVE[0] * length), round(P_WAVE[1] * length))
    errors = beat_errors(beats, rows.reconstructions.reshape(flat))[:, p_wave]
    squares = (errors * errors).sum(axis=1, dtype=np.float64)
    losses = np.array(rows.losses, np.float64).reshape(-1)
    losses[~(losses >= 0) | ~np.isfinite(per_lead[:, 0])] = np.nan
    known = np.isfinite(losses)
    log_usual = per_lead[:, 0]
    columns = (
        np.log(np.maximum(losses, 1e-6)) - log_usual,
        0.5 * np.log(np.maximum(length * squares, 1e-8)) - log_usual,
        _unlike(inputs, qrs[places].reshape(n * n_leads, -1), per_lead[:, 3].astype(np.intp)),
        _noise(beats) - per_lead[:, 1],
        _baseline(beats) - per_lead[:, 2],
    )
    bounded = [np.where(known, np.clip(column, LOWEST, HIGHEST), np.nan) for column in columns]
    return LeadMeasures(*(column.reshape(n, n_leads) for column in bounded))


_NOT_LEARNT = UsualLead(math.nan, np.zeros(0, np.float32), 0, math.nan, math.nan)


def _unlike(
    inputs: NDArray[np.float32], qrs: NDArray[np.float32], first: NDArray[np.intp]
) -> Floats:
    """Return log(1 - correlation of the QRS complex with the template's), shape (n,)."""
    size = qrs.shape[1]
    ours = inputs.take(
        (first + np.arange(len(inputs)) * inputs.shape[1])[:, None] + np.arange(size)
    )
    ours -= ours.sum(axis=1, keepdims=True) / np.float32(size)
    norms = np.sqrt((ours * ours).sum(axis=1, dtype=np.float64))
    agreement = (ours * qrs).sum(axis=1, dtype=np.float64) / np.maximum(norms, 1e-9)
    return np.asarray(np.log(np.maximum(1 - agreement, 1e-3)))


def _noise(beats: NDArray[np.float32]) -> Floats:
    """Return the log of the mean second difference where no QRS complex is, shape (n,)."""
    length = beats.shape[1]
    total, samples = np.zeros(len(beats)), 0
    for start, stop in QUIET:
        part = beats[:, round(start * length) : round(stop * length)]
        second = np.abs(part[:, :-2] - 2 * part[:, 1:-1] + part[:, 2:])
        total += second.sum(axis=1, dtype=np.float64)
        samples += second.shape[1]
    return np.asarray(np.log(np.maximum(total / samples, 1e-3)))


def _baseline(beats: NDArray[np.float32]) -> Floats:
    """Return how far the ends of beats lie apart, in standard deviations, shape (n,)."""
    edge = max(1, round(EDGE * beats.shape[1]))
    ends = beats[:, -edge:].sum(axis=1, dtype=np.float64)
    return np.asarray(np.abs(ends - beats[:, :edge].sum(axis=1, dtype=np.float64)) / edge)


class _Follower:
    """One patient, beat by beat, in plain numbers: arrays of one element are slow."""

    def __init__(self, state: EvidenceState, n_leads: int) -> None:
        self._first, self._last = state.first, state.last
        self._usual, self._irregular = state.usual, state.irregular
        self._nearest, self._sudden, self._uneven = MAX_IRREGULAR, 0.0, math.inf
        self._in_block = state.in_block
        self._accepted: list[tuple[float, ...]]
        if len(state.moved) == n_leads:
            self._moved, self._unlike = list(state.moved), list(state.unlike)
            self._accepted, self._compared = list(state.accepted), list(state.compared)
        else:
            self._moved, self._unlike = [0.0] * n_leads, [0.0] * n_leads
            self._accepted, self._compared = [()] * n_leads, [0] * n_leads
        self._unrest, self._recent = state.unrest, state.losses

    def state(self, shapes: bytes) -> EvidenceState:
        """Return where the patient is now."""
        return EvidenceState(
            self._first,
            self._usual,
            self._irregular,
            self._last,
            self._in_block,
            tuple(self._moved),
            tuple(self._accepted),
            tuple(self._unlike),
            tuple(self._compared),
            shapes,
            self._unrest,
            self._recent,
        )

    def take(
        self, before_ms: float, after_ms: float, log_losses: list[float], unlike: list[float]
    ) -> list[float]:
        """Follow one beat.

        Returns its prematurity and pause in log RR, the spread of both, the doubt in which noise
        leaves it, its prematurity against the longest of the last intervals, and how far the usual
        loss of each lead has moved.
        """
        spread = MIN_SPREAD + SPREADS * self._irregular
        early = pause = self._sudden = 0.0
        self._nearest, self._uneven = MAX_IRREGULAR, math.inf
        if 0 < before_ms < math.inf:
            early, pause = self._interval(math.log(before_ms), after_ms)
        else:
            self._last = ()
        moved = self._moved.copy()
        doubt = self._doubt(early, log_losses, unlike)
        self._losses(log_losses, abs(early) < IN_TIME)
        return [early, pause, spread, doubt, self._sudden, *moved]

    def _doubt(self, early: float, log_losses: list[float], unlike: list[float]) -> float:
        """Follow how unlike each other the beats are; return the doubt that this one is in."""
        total, n_compared = 0.0, 0
        for lead, value in enumerate(unlike):
            if value == value:
                total += value - self._unlike[lead]
                n_compared += 1
                self._compared[lead] = n = min(self._compared[lead] + 1, USUAL_UNLIKE_BEATS)
                self._unlike[lead] += (value - self._unlike[lead]) / n
        own = total / n_compared if n_compared else 0.0
        known = [one for one in log_losses if one == one]
        if not known:
            return 0.0
        self._unrest += (own - self._unrest) / UNREST_BEATS
        loss = sum(known) / len(known)
        self._recent = (*self._recent, loss)[-RECENT_BEATS:]
        calm = sorted(self._recent)[min(CALM_RANK, len(self._recent) - 1)]
        if early > STEADY_EARLY and self._uneven < STEADY_STEP:
            return 0.0
        of_losses = (calm - CALM) / (STIRRED - CALM)
        of_shapes = (self._unrest - REST) / (UNREST - REST)
        noise = max(0.0, min(of_losses, of_shapes, MOST_NOISE))
        seen = sum(n > 0 for n in self._compared)
        lost = 1 - len(known) / seen if len(known) < seen else 0.0
        return DOUBT * (1 + LOST_LEADS * lost) * noise * noise

    def _interval(self, log_rr: float, after_ms: float) -> tuple[float, float]:
        if len(self._first) < FIRST_INTERVALS:
            self._first = (*self._first, log_rr)
            self._usual = median(self._first)
            return 0.0, 0.0
        early = self._usual - log_rr
        pause = math.log(after_ms) - self._usual if 0 < after_ms < math.inf else 0.0
        self._sudden = early
        if self._last:
            self._sudden = max(self._last) - log_rr
            self._uneven = max([abs(log_rr - one) for one in self._last])
            nearest = min([abs(log_rr - one) for one in self._last])
            self._nearest = min(nearest, MAX_IRREGULAR)
            self._irregular += (self._nearest - self._irregular) / IRREGULAR_BEATS
        self._last = (*self._last[-2:], log_rr)
        beyond = abs(early) / IN_TIME - 1
        followed = 1.0 if beyond < 0 else max(LEAST_FOLLOWED, 1 - beyond)
        self._usual -= followed / FOLLOWED_INTERVALS * max(-MAX_STEP, min(MAX_STEP, early))
        return early, pause

    def _losses(self, log_losses: list[float], in_time: bool) -> None:
        """Follow the usual loss of each lead by blocks of beats."""
        if in_time:
            for lead, log_loss in enumerate(log_losses):
                if log_loss < self._moved[lead] + ACCEPTED:  # NaN is not
                    self._accepted[lead] = (*self._accepted[lead], log_loss)
        self._in_block += 1
        if self._in_block < BLOCK_BEATS:
            return
        for lead, accepted in enumerate(self._accepted):
            if len(accepted) >= MIN_ACCEPTED:
                step = max(-MAX_STEP, min(MAX_STEP, median(accepted) - self._moved[lead]))
                moved = self._moved[lead] + FOLLOW_BLOCK * step
                self._moved[lead] = max(-MAX_FOLLOWED, min(MAX_FOLLOWED, moved))
        self._accepted = [()] * len(self._accepted)
        self._in_block = 0


def _measures(leads: LeadMeasures, timed: Floats) -> Floats:
    """Join leads and time to the measures, shape (n, len(MEASURES))."""
    log_early, pause, spread = timed[:, 0], timed[:, 1], timed[:, 2]
    sudden = np.maximum(np.minimum(log_early, timed[:, 4]), log_early - GRADUAL)
    moved = FOLLOWED_SHARE * timed[:, TIMED_COLUMNS:]
    early = np.clip(sudden / spread, 0.0, HIGHEST)
    p_loss = np.clip(1.5 * (_mean(leads.log_p_loss) + 0.5), 0.0, HIGHEST)
    noise = np.maximum(0.0, _worst(leads.noise) - 0.2) * (1 - np.minimum(early / 2, 1.0))
    measures = np.empty((len(timed), len(MEASURES)))
    columns = (
        _mean(leads.log_loss - moved),
        _mean(leads.unlike),
        early,
        np.minimum(early, p_loss),
        np.minimum(np.maximum(pause, 0.0), np.maximum(log_early, 0.0)),
        noise,
        _worst(leads.baseline),
    )
    for column, values in enumerate(columns):
        measures[:, column] = values
    return measures


def _mean(of_leads: Floats) -> Floats:
    """Return the mean over the leads that have a value, shape (n,); 0 where none has."""
    known = np.isfinite(of_leads)
    total = np.where(known, of_leads, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def _worst(of_leads: Floats) -> Floats:
    """Return the largest over the leads that have a value, shape (n,); 0 where none has."""
    worst = np.where(np.isfinite(of_leads), of_leads, LOWEST).max(axis=1, initial=LOWEST)
    return np.where(np.isfinite(of_leads).any(axis=1), worst, 0.0)
