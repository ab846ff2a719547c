"""Beats of many messages scored together, one batch a model; then a row each, as plain numbers.

Numbers are taken out of the arrays once a batch: one by one each costs as much as a whole column.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.prematurity import Timing, time_all
from model.tracking import lay_all, put_back
from monitor.detection.model_fit import ModelFit, all_fit, follow_fits, leads_without_fit
from monitor.detection.weighing import Unweighed, Weigh, worst_leads
from monitor.wire.messages import BeatsMessage, joined_messages
from segmenter.beat import Beats

if TYPE_CHECKING:  # these modules need each other's types alone
    from monitor.detection.desk import LeadModel
    from monitor.detection.patient import Patient

NONE = -1  # stands for no model


@dataclass(frozen=True)
class Batch:
    """Beats of patients of as many leads, and what became of them: n rows.

    Attributes
    ----------
    beats : Beats
    inputs, reconstructions : np.ndarray, shape (n, leads, length), float32
        What the autoencoders were to reconstruct; what they made of the beats as they came.
    losses : np.ndarray, shape (n, leads), float64
        NaN where a lead gives none.
    leads : np.ndarray, shape (n,), int
        The lead that is the worst.
    scores : np.ndarray, shape (n,), float64
        Above 1 a beat is anomalous; NaN where there is no verdict.
    early : np.ndarray, shape (n,), float64
        log(usual RR / RR); NaN where no evidence was weighed.
    doubt : np.ndarray, shape (n,), float64
        How far a score must lie from 1 to be believed, in log; 0 outside noise.
    readable : np.ndarray, shape (n,), bool
        Which have a verdict, or will have one once their patient is learnt.
    timings : sequence of Timing, length n
    fits : sequence of tuple of ModelFit, length n
        What is known after each beat of how its patient's models fit, a lead each.
    """

    beats: Beats
    inputs: NDArray[np.float32]
    reconstructions: NDArray[np.float32]
    losses: NDArray[np.float64]
    leads: NDArray[np.intp]
    scores: NDArray[np.float64]
    early: NDArray[np.float64]
    doubt: NDArray[np.float64]
    readable: NDArray[np.bool_]
    timings: Sequence[Timing]
    fits: Sequence[tuple[ModelFit, ...]]


class ScoredBeat(NamedTuple):
    """One beat of a batch."""

    sample: int  # R peak, from the record's start
    rr_before_ms: float | None  # none where there is no beat before
    rr_after_ms: float | None
    quality: int  # flags
    closed_sample: int  # from when on its verdict is possible, from the record's start
    readable: bool  # whether it has a verdict, or will have one once the patient is learnt
    losses: tuple[float | None, ...]  # of each lead; none where it gives none
    lead: int  # the worst
    score: float | None  # above 1 it is anomalous; none where there is no verdict
    early: float | None  # log(usual RR / RR); none where no evidence was weighed
    doubt: float  # how far the score must lie from 1 to be believed, in log; 0 outside noise
    timing: Timing
    fits: tuple[ModelFit, ...]  # known after it
    values: bytes  # float32, little-endian, standardised, lead after lead: a copy, keeps no batch
    batch: Batch
    row: int

    @property
    def loss(self) -> float | None:
        """The loss of the worst lead; none where no lead gives one."""
        return self.losses[self.lead]

    @property
    def weighed(self) -> bool:
        """Whether evidence judged it, or found it in noise; otherwise the bare rule did."""
        return self.early is not None


def score_messages(
    messages: Sequence[BeatsMessage], patients: Mapping[str, Patient], weigh: Weigh
) -> Iterator[Sequence[ScoredBeat]]:
    """Score the beats of all messages, one batch a model; results in the messages' order.

    Parameters
    ----------
    messages : sequence of BeatsMessage
        Of patients who are there.
    patients : mapping of str to Patient
        By name; what is followed of them moves on.
    weigh : callable
        From the losses of the leads to the score.
    """
    by_leads: dict[int, list[int]] = {}
    for index, message in enumerate(messages):
        by_leads.setdefault(len(message.header.leads), []).append(index)
    parts: dict[int, Sequence[ScoredBeat]] = {}
    for indices in by_leads.values():
        together = [messages[index] for index in indices]
        scored = iter(scored_beats(_scored(together, patients, weigh)))
        for index, message in zip(indices, together, strict=True):
            parts[index] = [*islice(scored, message.header.n_beats)]
    return iter([parts[index] for index in range(len(messages))])


def _scored(
    messages: Sequence[BeatsMessage], patients: Mapping[str, Patient], weigh: Weigh
) -> Batch:
    """Score the beats of messages of as many leads."""
    of = [(one.header.patient, one.header.n_beats) for one in messages]
    named = {name: patients[name] for name, _ in of}
    header = messages[0].header
    beats = joined_messages(messages, header.length, len(header.leads))
    owner = np.repeat(np.arange(len(of)), [n_beats for _, n_beats in of])  # (n,)
    rhythms, timings = time_all(
        {name: one.timing for name, one in named.items()}, of, beats.rr_before_ms, beats.judgeable
    )
    thresholds = np.array([named[name].thresholds for name, _ in of], np.float64)[owner]
    inputs, reconstructions, losses = _reconstructed(beats, of, owner, named, timings)
    fits = _judged_leads(losses, thresholds, of, named)
    states, weighed = weigh(
        {name: one.weighed for name, one in named.items()},
        Unweighed(
            of,
            beats,
            inputs,
            reconstructions,
            losses,
            thresholds,
            timings,
            {name: one.usual for name, one in named.items() if one.usual is not None},
            np.array([named[name].moved_by for name, _ in of], np.float64)[owner],
        ),
    )
    for name, patient in named.items():
        patient.timing, patient.weighed = rhythms[name], states[name]
    is_learning = np.array([named[name].learning is not None for name, _ in of])[owner]
    return Batch(
        beats,
        inputs,
        reconstructions,
        losses,
        worst_leads(losses, thresholds),
        weighed.scores,
        weighed.early,
        weighed.doubt,
        np.where(is_learning, beats.judgeable, np.isfinite(weighed.scores)),
        timings,
        fits,
    )


def _reconstructed(
    beats: Beats,
    of: Sequence[tuple[str, int]],
    owner: NDArray[np.intp],
    patients: Mapping[str, Patient],
    timings: Sequence[Timing],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Return the autoencoders' inputs, their reconstructions and the losses, NaN where none is."""
    n_beats, n_leads, length = beats.values.shape
    of_all = beats.values.reshape(-1, length)  # (n leads, length)
    inputs, reconstructions = of_all, np.zeros_like(of_all)
    losses = np.full(n_beats * n_leads, np.nan)
    for model, rows in _by_model(beats, of, owner, patients):
        at, lead = np.divmod(rows, n_leads)
        normal, every = model.checkpoint.normal, np.ones(len(rows), np.bool_)
        places = zip(owner[at].tolist(), lead.tolist(), strict=True)
        keys = [] if normal is None else [(of[place][0], one) for place, one in places]
        drifts, tracked = lay_all(
            {(name, one): patients[name].drifts[one] for name, one in keys},
            [(key, 1) for key in keys],
            of_all[rows],
            [timings[row] for row in at.tolist()],
            every,
            model.scorer.template,
            normal,
        )
        for (name, one), drift in drifts.items():
            patients[name].drifts[one] = drift
        scored = put_back(tracked, model.scorer.reconstruct(tracked.inputs), every)
        if normal is not None:
            inputs = inputs.copy() if inputs is of_all else inputs
            inputs[rows] = tracked.inputs
        reconstructions[rows], losses[rows] = scored.reconstructions, scored.losses
    shape = beats.values.shape
    return inputs.reshape(shape), reconstructions.reshape(shape), losses.reshape(shape[:2])


def _by_model(
    beats: Beats,
    of: Sequence[tuple[str, int]],
    owner: NDArray[np.intp],
    patients: Mapping[str, Patient],
) -> Iterator[tuple[LeadModel, NDArray[np.intp]]]:
    """Yield each model and the rows of `beats.values`, one a beat and lead, that it scores.

    Of a patient who is learnt nothing is scored yet.
    """
    models: dict[int, tuple[int, LeadModel]] = {}  # by identity: place and model
    places: list[list[int]] = []  # of each message, a lead each
    for name, _ in of:
        patient = patients[name]
        judged_by = patient.model.leads if patient.learning is None else ()
        row = [
            NONE if one is None else models.setdefault(id(one), (len(models), one))[0]
            for one in judged_by
        ]
        places.append(row or [NONE] * beats.values.shape[1])
    which = np.array(places, np.intp)[owner]  # (n, leads)
    which[~(beats.lead_judgeable & beats.judgeable[:, None])] = NONE
    in_order = np.argsort(which, axis=None, kind="stable")
    bounds = np.searchsorted(which.ravel()[in_order], np.arange(len(models) + 1))
    for place, model in models.values():
        rows = in_order[bounds[place] : bounds[place + 1]]
        if len(rows):
            yield model, rows


def _judged_leads(
    losses: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    of: Sequence[tuple[str, int]],
    patients: Mapping[str, Patient],
) -> list[tuple[ModelFit, ...]]:
    """Follow how the models fit, and take out the losses of leads that are left out for it.

    Returns
    -------
    list of tuple of ModelFit, length n
        What is known after each beat.
    """
    known = {name: one.fits for name, one in patients.items()}
    if all(all_fit(fits) for fits in known.values()):  # nearly always
        return [known[name] for name, n_beats in of for _ in range(n_beats)]
    rows = enumerate(zip(losses.tolist(), thresholds.tolist(), strict=True))
    found: list[tuple[ModelFit, ...]] = []
    for name, n_beats in of:
        fits, is_decided = known[name], all_fit(known[name]) or patients[name].learning is not None
        for row, (of_beat, bounds) in islice(rows, n_beats):
            if not is_decided:
                fits = follow_fits(fits, of_beat, bounds)
                if out := leads_without_fit(fits):
                    losses[row, out] = np.nan
            found.append(fits)
        known[name] = fits
    return found


def scored_beats(batch: Batch) -> list[ScoredBeat]:
    """Return beats that were scored together, one by one."""
    beats, n_beats = batch.beats, len(batch.beats)
    values = beats.values.astype("<f4", copy=False).tobytes()
    size = len(values) // max(1, n_beats)
    columns = zip(
        beats.r_sample.tolist(),
        _or_none(beats.rr_before_ms),
        _or_none(beats.rr_after_ms),
        beats.quality.tolist(),
        beats.closed_sample.tolist(),
        batch.readable.tolist(),
        zip(*(_or_none(of_lead) for of_lead in batch.losses.T), strict=True),
        batch.leads.tolist(),
        _or_none(batch.scores),
        _or_none(batch.early),
        batch.doubt.tolist(),
        batch.timings,
        batch.fits,
        [values[row * size : (row + 1) * size] for row in range(n_beats)],
        [batch] * n_beats,
        range(n_beats),
        strict=True,
    )
    return [*map(ScoredBeat._make, columns)]


def _or_none(values: NDArray[np.floating]) -> list[float | None]:
    """Return None for NaN and infinities, which JSON cannot say."""
    return [value if math.isfinite(value) else None for value in values.tolist()]
