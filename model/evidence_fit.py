"""Weigh evidence on labelled beats of many patients: a logistic regression of hinges, by SciPy.

Each patient counts alike: of the normal beats as a whole, and of each class of anomalous ones up to
a cap, so that neither a patient with a thousand ventricular beats nor the common normal beat
decides. The same beats under noise that was added (`LabelledEvidence.noisy`) count beside them, so
that evidence is worth what it is in noise too. EvidenceWeights are held to the sign that physiology
gives them, and pulled to zero (L2 on standardised hinges). The logit is then put on the scale of
probabilities (Platt 1999), at the patients' own prevalence, by patients who were left out.

The cut is a constant in the logit of the fit itself: where recall and precision were balanced on
the 22 records of MIT-BIH that are named in the file's provenance, each weighed on the 21 others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from model.errors import InvalidBeats
from model.evidence import FALLING, KNOTS, MEASURES, EvidenceWeights, Term

Floats = NDArray[np.float64]

NORMAL = "N"
NORMAL_WEIGHT = 300.0  # of all normal beats of a patient
CLASS_CAP = 60.0  # of all beats of an anomalous class of a patient, where there are as many
L2 = 30.0
NOISY_SHARE = 0.3  # that a patient's beats under added noise count beside those without
CUT = 0.14  # of the fit's own probability, before it is put on the scale of prevalence
LEAST_PER_LOG_LOSS = (
    0.25  # the loss is the unit of the score, also where other evidence says it all
)
MAX_ITERATIONS = 300


@dataclass(frozen=True)
class LabelledEvidence:
    """One patient's judged beats with their classes.

    Attributes
    ----------
    measures : np.ndarray, shape (n, len(MEASURES))
        As `model.evidence.measure` returns them.
    classes : np.ndarray, shape (n,), str
        AAMI class; "N" is normal.
    noisy : LabelledEvidence, optional
        The same patient's, under noise that was added.
    """

    measures: Floats
    classes: NDArray[np.str_]
    noisy: LabelledEvidence | None = None


def fit_weights(
    patients: Sequence[LabelledEvidence],
    provenance: Mapping[str, object] | None = None,
    *,
    calibrate: bool = False,
) -> EvidenceWeights:
    """Return what evidence is worth on these patients.

    Parameters
    ----------
    provenance : mapping
        Kept in the weights.
    calibrate : bool
        Put probabilities on the scale of the patients' prevalence; takes a fit a patient. It
        changes no verdict.

    Raises
    ------
    InvalidBeats
        If there are no anomalous beats, or no normal ones, or measures are not finite.
    """
    _check(patients)
    weights = _fit(patients, provenance or {})
    if not calibrate or len(patients) < 2:
        return weights
    logits = [
        _fit([*patients[:one], *patients[one + 1 :]], {}).logits(patient.measures)
        for one, patient in enumerate(patients)
    ]
    slope, offset = _platt(logits, [patient.classes != NORMAL for patient in patients])
    return _rescaled(weights, slope, offset)


def _check(patients: Sequence[LabelledEvidence]) -> None:
    classes = np.concatenate([patient.classes for patient in patients] or [np.zeros(0, "U1")])
    if not (classes == NORMAL).any() or (classes == NORMAL).all():
        raise InvalidBeats("evidence is weighed on normal and anomalous beats; give both")
    parts = [*patients, *(one.noisy for one in patients if one.noisy is not None)]
    if not all(np.isfinite(part.measures).all() for part in parts):
        raise InvalidBeats("evidence holds NaN; leave out the beats that no lead has a loss of")


def _hinges(measures: Floats) -> Floats:
    """Return the hinges of all terms, shape (n, hinges)."""
    columns = [
        np.maximum(0.0, measures[:, column] - knot)
        for column, name in enumerate(MEASURES)
        for knot in KNOTS[name]
    ]
    return np.stack(columns, axis=1)


def _beat_weights(classes: NDArray[np.str_]) -> Floats:
    weights = np.zeros(len(classes))
    for name in np.unique(classes):
        rows = classes == name
        count = float(rows.sum())
        weights[rows] = (NORMAL_WEIGHT if name == NORMAL else min(count, CLASS_CAP)) / count
    return weights


def _fit(patients: Sequence[LabelledEvidence], provenance: Mapping[str, object]) -> EvidenceWeights:
    noisy = [patient.noisy for patient in patients if patient.noisy is not None]
    parts = [*patients, *noisy]
    shares = [1.0] * len(patients) + [NOISY_SHARE] * len(noisy)
    hinges = _hinges(np.concatenate([part.measures for part in parts]))
    anomalous = np.concatenate([part.classes != NORMAL for part in parts])
    of_beats = np.concatenate(
        [share * _beat_weights(part.classes) for share, part in zip(shares, parts, strict=True)]
    )
    mean = np.average(hinges, axis=0, weights=of_beats)
    spread = np.sqrt(np.average((hinges - mean) ** 2, axis=0, weights=of_beats)) + 1e-3
    standard = (hinges - mean) / spread
    bounds: list[tuple[float | None, float | None]] = [(None, None)]
    for name in MEASURES:
        bounds += [(None, 0.0) if name in FALLING else (0.0, None)] * len(KNOTS[name])
    bounds[1] = (LEAST_PER_LOG_LOSS * float(spread[0]), None)  # of the loss's straight line
    fitted = _logistic(standard, anomalous, of_beats, L2, bounds)
    scaled = fitted[1:] / spread
    intercept = float(fitted[0] - (scaled * mean).sum())
    terms, at = [], 0
    for name in MEASURES:
        knots = KNOTS[name]
        values = [round(float(one), 4) for one in scaled[at : at + len(knots)]]
        terms.append(Term(name, knots, tuple(values)))
        at += len(knots)
    cut_logit = math.log(CUT / (1 - CUT))
    return EvidenceWeights(round(intercept, 4), tuple(terms), _probability(cut_logit), provenance)


def _logistic(
    columns: Floats,
    anomalous: NDArray[np.bool_],
    of_beats: Floats,
    l2: float,
    bounds: Sequence[tuple[float | None, float | None]],
) -> Floats:
    """Return intercept and weights of least weighted log loss, within bounds."""

    def loss(weights: Floats) -> tuple[float, Floats]:
        logits = columns @ weights[1:] + weights[0]
        total = of_beats * (np.logaddexp(0.0, logits) - anomalous * logits)
        slopes = of_beats * (1 / (1 + np.exp(-logits)) - anomalous)
        value = float(total.sum() + 0.5 * l2 * (weights[1:] ** 2).sum())
        return value, np.r_[slopes.sum(), columns.T @ slopes + l2 * weights[1:]]

    start = np.zeros(columns.shape[1] + 1)
    options = {"maxiter": MAX_ITERATIONS}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x, np.float64)


def _platt(logits: Sequence[Floats], anomalous: Sequence[NDArray[np.bool_]]) -> tuple[float, float]:
    """Return slope and offset that make probabilities of logits; each patient counts alike."""
    column = np.concatenate(logits)[:, None]
    of_beats = np.concatenate([np.full(len(one), 1e3 / max(len(one), 1)) for one in logits])
    bounds = [(None, None), (0.05, None)]
    offset, slope = _logistic(column, np.concatenate(anomalous), of_beats, 0.0, bounds)
    return round(float(slope), 4), round(float(offset), 4)


def _rescaled(weights: EvidenceWeights, slope: float, offset: float) -> EvidenceWeights:
    """Return weights whose logits are `slope` times as large, and `offset` more; the same cut."""
    terms = tuple(
        Term(one.measure, one.knots, tuple(round(slope * w, 4) for w in one.weights))
        for one in weights.terms
    )
    cut = _probability(slope * weights.cut_logit + offset)
    intercept = round(slope * weights.intercept + offset, 4)
    return EvidenceWeights(intercept, terms, round(cut, 4), weights.provenance)


def _probability(logit: float) -> float:
    return 1 / (1 + math.exp(-logit))
