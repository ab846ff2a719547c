"""Anomalous beats that look alike are one family; which of them may raise an alert.

A bundle branch block that comes and goes is one shape that comes hundreds of times: a person wants
to hear of it once, and again when it changes. So each anomalous beat is laid beside the families of
its patient, and only these may begin an alert:

    new       the first of a family whose score is high: a family that comes once and narrowly is
              what noise looks like
    again     a later one of a family that has raised none, where it is clearly above the threshold
    rate      its family comes more often than before: a higher class of beats a minute
    run       the third anomalous beat in a row or a later one, clearly above the threshold or the
              tenth, where the run is early (a tachycardia), or its family never ran before (a
              rhythm of another origin, such as a bundle branch block)

Where several families were new within minutes (atrial fibrillation with ectopic beats of many
shapes), one more says nothing new: it begins no alert until there were fewer; runs and rates do.

All others are absorbed: anomalous, counted, in no alert but one that is under way. A family that
comes while an alert lasts was heard. A person's word goes before all of it: what they called normal
begins nothing, what they want to hear always begins an alert (`marked`).

Families are kept for one patient at most MAX_FAMILIES; the one that has not come for longest goes.
A family's shape is the running mean of its last beats, each lead of SHAPE_SAMPLES values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from model.errors import InvalidConfig
from model.evidence import SHAPE_SAMPLES, beat_shapes

Word = Literal["", "normal", "always"]
Onset = Literal["", "new", "again", "rate", "run", "always"]

MAX_FAMILIES = 12
ALIKE = 0.85  # correlation, mean over the leads
MEAN_OF = 8  # beats that a family's shape is the running mean of
MINUTE_S = 60.0
MAX_TIMES = 32  # of a family's last beats: a rate of more a minute is not told apart
RATE_CLASSES = (10, 30)  # beats a minute from which on a family comes often, very often
CLASS_LASTS_S = 300.0  # so long after its last beat of a class, the class may raise an alert again
NEW_FROM = 14.0  # score, in thresholds, from which the first of a family begins an alert
AGAIN_FROM = 4.0  # the same for a later one, and for a run
RUN_BEATS, LONG_RUN = 3, 10  # a long run begins an alert whatever its score
RUN_EARLY = 0.1  # mean log(usual RR / RR) of a run's beats: 11 % faster than usual
FAMILIAR = 3  # beats of a family; noise does not look the same three times
NORMAL_DOUBT = 0.4  # of the doubt, that a normal beat must overcome
MANY_NEW, MANY_S = 5, 300.0  # families heard first within so long: one more is no news
KEPT_S = -1e9  # before every beat of a stream
MAX_COUNT = 1 << 52


@dataclass(frozen=True)
class Family:
    """Beats that look alike; its shape stands in the state.

    Attributes
    ----------
    number : int
        From 1 on, in the order in which families came.
    beats : int
        How many came.
    times_s : tuple of float
        When the last of them came, at most MAX_TIMES; KEPT_S stands for all before it was kept.
    heard : bool
        Whether one began an alert, or came during one.
    ran : bool
        Whether three anomalous beats in a row ended with one.
    rate_class : int
        The highest class of RATE_CLASSES that it reached of late.
    at_class_s : float
        When it last was in that class.
    word : {"", "normal", "always"}
        What a person said of it.
    """

    number: int
    beats: int
    times_s: tuple[float, ...]
    heard: bool = False
    ran: bool = False
    rate_class: int = 0
    at_class_s: float = 0.0
    word: Word = ""

    @property
    def per_minute(self) -> int:
        """How many came in the minute up to the last of them."""
        return sum(self.last_s - one < MINUTE_S for one in self.times_s)

    @property
    def last_s(self) -> float:
        """When the last of them came; KEPT_S where none has since it was kept."""
        return self.times_s[-1]


@dataclass(frozen=True)
class FamiliesState:
    """One patient's families; none by default.

    Attributes
    ----------
    families : tuple of Family
    shapes : bytes
        float32, (families, leads, SHAPE_SAMPLES): each lead of mean 0 and length 1; zeros where a
        family was never seen in it.
    leads : int
    next_number : int
    run, run_early : int, float
        Anomalous beats in a row up to now, and the sum of their log(usual RR / RR).
    new_s : tuple of float
        When the last alerts of new families began, at most MANY_NEW.
    """

    families: tuple[Family, ...] = ()
    shapes: bytes = b""
    leads: int = 0
    next_number: int = 1
    run: int = 0
    run_early: float = 0.0
    new_s: tuple[float, ...] = ()

    @property
    def is_sane(self) -> bool:
        """Whether a state that was read from bytes can be gone on from."""
        numbers = [family.number for family in self.families]
        if not (
            len(numbers) <= MAX_FAMILIES
            and len(set(numbers)) == len(numbers)
            and all(0 < number < self.next_number for number in numbers)
            and 0 < self.next_number <= MAX_COUNT
            and 0 <= self.leads <= 16
            and len(self.shapes) == 4 * len(numbers) * self.leads * SHAPE_SAMPLES
            and 0 <= self.run <= MAX_COUNT
            and abs(self.run_early) < 1e9  # NaN fails too
            and len(self.new_s) <= MANY_NEW
            and all(abs(one) < 1e12 for one in self.new_s)
        ):
            return False
        sane = all(_is_sane(family) for family in self.families)
        return sane and bool((np.abs(np.frombuffer(self.shapes, "<f4")) <= 1.001).all())

    def array(self) -> NDArray[np.float32]:
        """Return the shapes as an array, (families, leads, SHAPE_SAMPLES), to look at."""
        shape = len(self.families), self.leads, SHAPE_SAMPLES
        return np.frombuffer(self.shapes, "<f4").reshape(shape)


@dataclass(frozen=True)
class Placed:
    """What family an anomalous beat belongs to.

    Attributes
    ----------
    number : int
    before : int
        How many came before it.
    per_minute : int
        How many came in the last minute, with it.
    onset : str
        Why it may begin an alert; "" where it is absorbed.
    """

    number: int
    before: int
    per_minute: int
    onset: Onset

    @property
    def is_new(self) -> bool:
        """Whether it is the first of its family."""
        return self.before == 0


@dataclass(frozen=True)
class HeardBeat:
    """What becomes of a beat.

    Attributes
    ----------
    anomalous : bool or None
        None where there is no verdict: it lies in noise, or no lead could be judged.
    placed : Placed or None
        Of an anomalous beat.
    """

    anomalous: bool | None
    placed: Placed | None = None


WITHHELD, NORMAL = HeardBeat(None), HeardBeat(False)


def hear(
    state: FamiliesState,
    beat: NDArray[np.float32],
    known: Sequence[bool],
    at_s: float,
    score: float,
    early: float,
    *,
    doubt: float,
    during_alert: bool,
) -> tuple[FamiliesState, HeardBeat]:
    """Take a weighed beat in: verdict, family, and whether it may begin an alert.

    In noise a beat has a verdict only where its score lies beyond the doubt, or it is anomalous and
    of a family that is known; a score counts from the doubt on when an alert may begin. Parameters
    are those of `place`; `score` is NaN where no lead could be judged.

    Parameters
    ----------
    doubt : float
        Log of the score from which on an anomalous beat is believed; 0 outside noise.
    """
    if not math.isfinite(score):
        return state, WITHHELD
    anomalous = score > 1
    if doubt > 0 and anomalous and is_familiar(state, beat, known):
        doubt = 0.0
    if not (score >= math.exp(doubt) if anomalous else score <= math.exp(-NORMAL_DOUBT * doubt)):
        return state, WITHHELD
    if not anomalous:
        return calm(state), NORMAL
    believed = score / math.exp(doubt)
    state, placed = place(state, beat, known, at_s, believed, early, during_alert=during_alert)
    return state, HeardBeat(True, placed)


def calm(state: FamiliesState) -> FamiliesState:
    """Take note of a judged beat that is not anomalous: a run ends with it."""
    return replace(state, run=0, run_early=0.0) if state.run else state


def place(
    state: FamiliesState,
    beat: NDArray[np.float32],
    known: Sequence[bool],
    at_s: float,
    score: float,
    early: float,
    *,
    during_alert: bool,
) -> tuple[FamiliesState, Placed]:
    """Lay an anomalous beat beside the families, and decide whether it may begin an alert.

    Parameters
    ----------
    beat : np.ndarray, shape (leads, length), float32
        As given to the autoencoder: laid on the template, slow drift taken out.
    known : sequence of bool, length leads
        Which leads can be judged; the others are not looked at.
    at_s : float
        When its R peak came.
    score : float
        Weighted loss over the threshold, above 1.
    early : float
        log(usual RR / RR).
    during_alert : bool
        Whether an alert is under way.
    """
    shape = _shape_of(beat, known)
    if state.leads != len(shape):  # the first beat, or other leads than before: none is like it
        state = FamiliesState(leads=len(shape), next_number=state.next_number, new_s=state.new_s)
    shapes = state.array()
    index = _most_alike(shapes, shape)
    run, run_early = state.run + 1, state.run_early + early
    families = list(state.families)
    if index is None:
        before, family = 0, Family(state.next_number, 1, (at_s,))
        shapes = np.concatenate([shapes, shape[None]])
        families.append(family)
        index = len(families) - 1
    else:
        before = families[index].beats
        family = _with_beat(families[index], at_s)
        shapes = shapes.copy()
        shapes[index] = _moved(shapes[index], shape, family.beats)
    rate_class = sum(family.per_minute >= least for least in RATE_CLASSES)
    runs = run >= (RUN_BEATS if score >= AGAIN_FROM else LONG_RUN)
    runs = runs and (not family.ran or run_early > RUN_EARLY * run)
    onset = _onset(family, score, rate_class, runs)
    new_s = state.new_s
    if onset in {"new", "again"}:
        if len(new_s) == MANY_NEW and at_s - new_s[0] < MANY_S:
            onset = "run" if runs else ""
        else:
            new_s = (*new_s, at_s)[-MANY_NEW:]
    families[index] = _noted(
        family, rate_class, run, at_s, heard=during_alert or onset not in {"", "always"}
    )
    next_number = max(state.next_number, family.number + 1)
    if len(families) > MAX_FAMILIES:
        gone = _to_go(families)
        del families[gone]
        shapes = np.delete(shapes, gone, axis=0)
    state = FamiliesState(
        tuple(families),
        shapes.astype("<f4").tobytes(),
        len(shape),
        next_number,
        run,
        run_early,
        new_s,
    )
    return state, Placed(family.number, before, family.per_minute, onset)


def is_familiar(state: FamiliesState, beat: NDArray[np.float32], known: Sequence[bool]) -> bool:
    """Tell whether a beat is of a family that came FAMILIAR times: such a beat is not noise."""
    shape = _shape_of(beat, known)
    if state.leads != len(shape):
        return False
    index = _most_alike(state.array(), shape)
    return index is not None and state.families[index].beats >= FAMILIAR


def marked(state: FamiliesState, number: int, word: Word) -> FamiliesState:
    """Take a person's word for a family: normal, always, or "" to take it back.

    Raises
    ------
    InvalidConfig
        If there is no such family (any more).
    """
    if number not in {family.number for family in state.families}:
        raise InvalidConfig(f"there is no family {number} of this patient, or no longer")
    families = [replace(one, word=word) if one.number == number else one for one in state.families]
    return replace(state, families=tuple(families))


def kept_by_word(state: FamiliesState) -> FamiliesState:
    """Return what stays where a patient is learnt anew, or begins anew: what a person spoke of.

    Times count anew, numbers go on: an alert of before never names another family.
    """
    places = [place for place, one in enumerate(state.families) if one.word]
    families = [
        replace(state.families[place], times_s=(KEPT_S,), rate_class=0, at_class_s=0.0)
        for place in places
    ]
    shapes = state.array()[places].tobytes()
    return FamiliesState(tuple(families), shapes, state.leads, state.next_number)


def _onset(family: Family, score: float, rate_class: int, runs: bool) -> Onset:
    if family.word:
        return "always" if family.word == "always" else ""
    if not family.heard:
        least = NEW_FROM if family.beats == 1 else AGAIN_FROM
        if score >= least:
            return "new" if family.beats == 1 else "again"
    elif rate_class > family.rate_class:
        return "rate"
    return "run" if runs else ""


def _noted(family: Family, rate_class: int, run: int, at_s: float, *, heard: bool) -> Family:
    """Return the family with what its newest beat did."""
    if rate_class < family.rate_class and at_s - family.at_class_s < CLASS_LASTS_S:
        rate_class, at_class_s = family.rate_class, family.at_class_s
    else:
        at_class_s = at_s
    return replace(
        family,
        heard=family.heard or heard,
        ran=family.ran or run >= RUN_BEATS,
        rate_class=rate_class,
        at_class_s=at_class_s,
    )


def _with_beat(family: Family, at_s: float) -> Family:
    times_s = (*family.times_s, at_s)[-MAX_TIMES:]
    return replace(family, beats=min(family.beats + 1, MAX_COUNT), times_s=times_s)


def _to_go(families: Sequence[Family]) -> int:
    """Return which family goes: the one not seen for longest, of those without a person's word."""
    silent = [one for one in families[:-1] if not one.word] or families[:-1]
    longest = min(silent, key=lambda one: one.last_s)
    return families.index(longest)


def _shape_of(beat: NDArray[np.float32], known: Sequence[bool]) -> NDArray[np.float32]:
    """Return a beat's shape, (leads, SHAPE_SAMPLES); zeros for a lead that is not known."""
    shape: NDArray[np.float32] = beat_shapes(beat[None], np.array([known], np.bool_))[0]
    return shape


def _most_alike(shapes: NDArray[np.float32], shape: NDArray[np.float32]) -> int | None:
    """Return the index of the family that a shape belongs to; None if it is like none."""
    if not len(shapes):
        return None
    # Sums by rows, not a matrix product, whose order of additions is BLAS's own.
    products = (shapes * shape).sum(axis=2)  # (families, leads)
    norms = np.sqrt((shapes * shapes).sum(axis=2))
    common = (norms > 0) & (shape != 0).any(axis=1)
    alike = np.where(common, products / np.maximum(norms, 1e-6), 0.0).sum(axis=1)
    n_common = common.sum(axis=1)
    agreement = np.where(n_common > 0, alike / np.maximum(n_common, 1), -1.0)
    best = int(np.argmax(agreement))
    return best if agreement[best] >= ALIKE else None


def _moved(
    mean: NDArray[np.float32], shape: NDArray[np.float32], beats: int
) -> NDArray[np.float32]:
    """Return a family's shape with one more beat in it; a lead without one stays."""
    seen = (shape != 0).any(axis=1, keepdims=True)
    first = seen & ~(mean != 0).any(axis=1, keepdims=True)
    step = np.float32(1 / min(beats, MEAN_OF))
    moved = np.where(seen, mean + step * (shape - mean), mean)
    return np.where(first, shape, moved).astype(np.float32)


def _is_sane(family: Family) -> bool:
    times_s = family.times_s
    return (
        0 < family.beats <= MAX_COUNT
        and 0 < len(times_s) <= MAX_TIMES
        and all(math.isfinite(one) and abs(one) < 1e12 for one in (*times_s, family.at_class_s))
        and 0 <= family.rate_class <= len(RATE_CLASSES)
    )
