"""What a beat's loss is worth, in its patient's own units."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from model.errors import InvalidBeats, InvalidCheckpoint, InvalidConfig
from model.evidence import (
    FALLING,
    MEASURES,
    BeatRows,
    EvidenceState,
    EvidenceWeights,
    Measured,
    UsualLead,
    measure,
    measure_all,
    usual_lead,
)
from model.evidence_file import load_shipped_weights, load_weights, save_weights
from model.evidence_fit import LabelledEvidence, fit_weights
from model.tracking import Normal

LENGTH = 140
TIMES = np.arange(LENGTH)
TEMPLATE = (
    0.3 * np.exp(-((TIMES - 35) ** 2) / 40)
    + 5.0 * np.exp(-((TIMES - 59) ** 2) / 8)
    + 0.8 * np.exp(-((TIMES - 105) ** 2) / 120)
).astype(np.float32)
BROAD = (5.0 * np.exp(-((TIMES - 62) ** 2) / 150)).astype(np.float32)
USUAL_LOSS = 4.0


def a_usual_lead(seed: int = 0) -> UsualLead:
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 0.05, (64, LENGTH))
    return usual_lead(Normal(8.0, (TEMPLATE + noise).astype(np.float32), USUAL_LOSS), TEMPLATE)


def some_rows(n: int, leads: int = 2, seed: int = 0, ectopic: Sequence[int] = ()) -> BeatRows:
    """Return beats at 75 a minute, usual ones but for some broad, early ones."""
    generator = np.random.default_rng(seed)
    noise = generator.normal(0, 0.05, (n, leads, LENGTH))
    beats = (np.tile(TEMPLATE, (n, leads, 1)) + noise).astype(np.float32)
    losses = USUAL_LOSS * np.exp(generator.normal(0, 0.2, (n, leads)))
    before, after = np.full(n, 800.0), np.full(n, 800.0)
    for row in ectopic:
        beats[row] = BROAD
        losses[row] = 10 * USUAL_LOSS
        before[row], after[row] = 500.0, 1100.0
    readable = np.ones((n, leads), np.bool_)
    written = np.tile(TEMPLATE, (n, leads, 1))
    return BeatRows(losses, beats, beats, written, readable, before, after)


def part(rows: BeatRows, start: int, stop: int) -> BeatRows:
    return BeatRows(
        rows.losses[start:stop],
        rows.beats[start:stop],
        rows.inputs[start:stop],
        rows.reconstructions[start:stop],
        rows.readable[start:stop],
        rows.rr_before_ms[start:stop],
        rows.rr_after_ms[start:stop],
    )


def measures_of(
    rows: BeatRows, leads: Sequence[UsualLead | None] | None = None
) -> NDArray[np.float64]:
    usual = [a_usual_lead()] * rows.losses.shape[1] if leads is None else leads
    return measure(EvidenceState(), usual, rows)[1].measures


def column(measures: NDArray[np.float64], name: str) -> NDArray[np.float64]:
    return measures[:, MEASURES.index(name)]


def same(one: Measured, other: Measured) -> bool:
    return (
        one.measures.tobytes() == other.measures.tobytes()
        and one.early.tobytes() == other.early.tobytes()
        and one.doubt.tolist() == other.doubt.tolist()
    )


def joined(parts: Sequence[Measured]) -> Measured:
    return Measured(
        np.concatenate([one.measures for one in parts]),
        np.concatenate([one.early for one in parts]),
        np.concatenate([one.doubt for one in parts]),
    )


@pytest.mark.parametrize("cuts", [[1, 2, 3], [7, 40, 41], [64], list(range(1, 120))])
def test_any_cut_of_the_same_beats_gives_the_same_to_the_bit(cuts: list[int]) -> None:
    """State and measures do not depend on how the beats were cut, nor on going through bytes."""
    rows, usual = some_rows(120, ectopic=[30, 50, 51, 90]), [a_usual_lead(), a_usual_lead(1)]
    whole_state, whole = measure(EvidenceState(), usual, rows)
    state, parts = EvidenceState(), []
    for start, stop in zip([0, *cuts], [*cuts, 120], strict=True):
        state, measured = measure(state, usual, part(rows, start, stop))
        state = msgspec.msgpack.decode(msgspec.msgpack.encode(state), type=EvidenceState)
        assert state.is_sane
        parts.append(measured)
    assert same(joined(parts), whole)
    assert state == whole_state


def test_patients_side_by_side_are_measured_as_each_alone() -> None:
    """Beats of others in the same call change nothing; a patient may come twice in it."""
    one, other = some_rows(40, seed=1, ectopic=[20]), some_rows(30, seed=2)
    usual: dict[str, list[UsualLead | None]] = {
        "a": [a_usual_lead(), a_usual_lead(1)],
        "b": [a_usual_lead(2), None],
    }
    alone = [measure(EvidenceState(), usual["a"], one), measure(EvidenceState(), usual["b"], other)]
    mixed = [part(one, 0, 25), other, part(one, 25, 40)]
    rows = BeatRows(
        *(
            np.concatenate([getattr(piece, name) for piece in mixed])
            for name in (
                "losses",
                "beats",
                "inputs",
                "reconstructions",
                "readable",
                "rr_before_ms",
                "rr_after_ms",
            )
        )
    )
    states = {"a": EvidenceState(), "b": EvidenceState()}
    states, measured = measure_all(states, [("a", 25), ("b", 30), ("a", 15)], usual, rows)
    order = [*range(25), *range(55, 70), *range(25, 55)]
    assert (
        measured.measures[order].tobytes()
        == np.concatenate([alone[0][1].measures, alone[1][1].measures]).tobytes()
    )
    assert states == {"a": alone[0][0], "b": alone[1][0]}


@pytest.mark.parametrize("missing", ["loss", "model"])
def test_a_lead_that_is_missing_is_neutral(missing: str) -> None:
    """One lead is measured as two of which the second has no loss, or was not learnt."""
    rows = some_rows(60, leads=2, ectopic=[20, 40])
    first = BeatRows(
        rows.losses[:, :1],
        rows.beats[:, :1],
        rows.inputs[:, :1],
        rows.reconstructions[:, :1],
        rows.readable[:, :1],
        rows.rr_before_ms,
        rows.rr_after_ms,
    )
    usual: list[UsualLead | None] = [a_usual_lead(), a_usual_lead(1)]
    if missing == "loss":
        losses = rows.losses.copy()
        losses[:, 1] = np.nan
        readable = np.tile([True, False], (60, 1))
        rows = replace(rows, losses=losses, readable=readable)
    else:
        usual[1] = None
    assert np.array_equal(measures_of(rows, usual), measures_of(first, usual[:1]))


def test_a_larger_loss_never_lowers_the_score() -> None:
    """Of two beats that differ in the loss alone, the one of the larger loss has no lower score."""
    weights, usual = load_shipped_weights(), [a_usual_lead()]
    rows = some_rows(20, leads=1)
    scores = []
    for factor in np.geomspace(0.01, 1000, 60):
        losses = rows.losses.copy()
        losses[-1] = factor
        measured = measure(EvidenceState(), usual, replace(rows, losses=losses))[1]
        scores.append(weights.ratios(measured.measures)[-1])
    assert (np.diff(scores) >= 0).all()
    assert scores[-1] > 1 > scores[0]


def test_twice_the_loss_is_twice_the_score() -> None:
    """The score is in units of the loss, so that a threshold keeps its meaning."""
    weights, usual = load_shipped_weights(), [a_usual_lead()]
    rows = some_rows(20, leads=1)
    losses = rows.losses.copy()
    losses[-1] = USUAL_LOSS / 2
    low = weights.ratios(measure(EvidenceState(), usual, replace(rows, losses=losses))[1].measures)
    losses[-1] = USUAL_LOSS
    high = weights.ratios(measure(EvidenceState(), usual, replace(rows, losses=losses))[1].measures)
    assert high[-1] == pytest.approx(2 * low[-1])


def test_the_score_is_above_one_exactly_where_the_probability_is_above_the_cut() -> None:
    """Score and probability are one verdict."""
    weights = load_shipped_weights()
    generator = np.random.default_rng(3)
    measures = generator.uniform(-2, 3, (500, len(MEASURES)))
    measures[:, MEASURES.index("unlike")] -= 3
    above = weights.ratios(measures) > 1
    assert 0 < above.sum() < 500
    assert (above == (weights.probabilities(measures) > weights.cut)).all()


def test_an_early_broad_beat_is_anomalous_and_the_others_are_not() -> None:
    """The shipped weights tell a ventricular beat from usual ones."""
    measures = measures_of(some_rows(100, ectopic=[50, 70]))
    assert np.flatnonzero(load_shipped_weights().ratios(measures) > 1).tolist() == [50, 70]


def test_no_single_beat_is_early_in_an_irregular_rhythm() -> None:
    """Prematurity counts in units of the patient's own irregularity, as in atrial fibrillation."""
    rows = some_rows(200, leads=1)
    irregular = 800 * np.exp(np.random.default_rng(4).normal(0, 0.2, 200))
    regular, chaotic = rows.rr_before_ms.copy(), irregular
    regular[150] = chaotic[150] = 560.0
    early = [
        column(measures_of(replace(rows, rr_before_ms=one)), "early")[150]
        for one in (regular, chaotic)
    ]
    assert early[0] > 3
    assert early[1] < early[0] / 2


def test_bigeminy_stays_early() -> None:
    """Intervals that alternate are not irregular, and their short ones do not become usual."""
    rows = some_rows(300, leads=1)
    intervals = rows.rr_before_ms.copy()
    intervals[100:] = np.where(np.arange(200) % 2, 560.0, 1040.0)
    early = column(measures_of(replace(rows, rr_before_ms=intervals)), "early")
    assert (early[251::2] > 2).all()


def test_a_faster_rhythm_that_stays_becomes_the_usual_one() -> None:
    """After some minutes of the new rate no beat is early any more."""
    rows = some_rows(700, leads=1)
    intervals = rows.rr_before_ms.copy()
    intervals[100:] = 520.0
    early = column(measures_of(replace(rows, rr_before_ms=intervals)), "early")
    assert early[102] > 3
    assert early[-1] < 0.5


def test_what_is_followed_of_the_usual_loss_is_bounded_and_guarded() -> None:
    """Losses that rise a little are followed; those of a run of ectopic beats are not."""
    worse = replace(some_rows(400, leads=1), losses=np.full((400, 1), 1.6 * USUAL_LOSS))
    ectopic = replace(worse, losses=np.full((400, 1), 6 * USUAL_LOSS))
    loss = column(measures_of(worse), "loss")
    assert loss[-1] < 0.6 * loss[0]
    loss = column(measures_of(ectopic), "loss")
    assert loss[-1] == loss[0]
    state = EvidenceState()
    for factor in np.geomspace(1, 1e4, 50):
        rising = replace(some_rows(32, leads=1), losses=np.full((32, 1), factor * USUAL_LOSS))
        state, _ = measure(state, [a_usual_lead()], rising)
    assert abs(state.moved[0]) <= 1.0


def test_noise_leaves_beats_in_doubt_and_a_run_of_ectopic_beats_does_not() -> None:
    """Beats of large losses of which no two are alike are in doubt; alike ones are not."""
    usual, generator = [a_usual_lead()], np.random.default_rng(5)
    for kind in ("noise", "run"):
        rows = some_rows(120, leads=1)
        beats = rows.beats.copy()
        wander = np.cumsum(generator.normal(0, 1, (40, 1, LENGTH)), axis=2)
        beats[60:100] = (TEMPLATE + wander / wander.std()) if kind == "noise" else BROAD
        losses = rows.losses.copy()
        losses[60:100] = 8 * USUAL_LOSS
        rows = replace(rows, beats=beats, inputs=beats, losses=losses)
        doubt = measure(EvidenceState(), usual, rows)[1].doubt
        assert not doubt[:60].any()
        assert (np.median(doubt[70:100]) > 2) == (kind == "noise")
        assert not doubt[115:].any()
        if kind == "run":
            assert doubt[60:100].max() < 1.2  # at its begin: beats of a run score far beyond


def test_the_more_noise_and_the_fewer_leads_the_more_doubt() -> None:
    """Doubt rises with the losses of noise, and where only one of two leads is left."""
    usual, generator = [a_usual_lead()] * 2, np.random.default_rng(5)
    rows = some_rows(80, leads=2)
    wander = np.cumsum(generator.normal(0, 1, (40, 2, LENGTH)), axis=2)
    beats = rows.beats.copy()
    beats[40:] = TEMPLATE + wander / wander.std()
    doubts = []
    for times, left in ((3, 2), (6, 2), (6, 1)):
        losses, readable = rows.losses.copy(), rows.readable.copy()
        losses[40:] = times * USUAL_LOSS
        losses[40:, left:], readable[40:, left:] = np.nan, False
        noisy = replace(rows, beats=beats, inputs=beats, losses=losses, readable=readable)
        doubts.append(float(np.median(measure(EvidenceState(), usual, noisy)[1].doubt[60:])))
    assert 0 < doubts[0] < doubts[1] < doubts[2]


def test_a_rate_that_rises_step_by_step_makes_no_beat_early() -> None:
    """Six percent in all, one a beat: nothing is early; six percent at once is."""
    at_once, stepwise = (np.full(100, 800.0) for _ in range(2))
    at_once[80] = 800 * 0.94
    stepwise[80:86] = 800 * 0.99 ** np.arange(1, 7)
    early = [
        column(measures_of(replace(some_rows(100, leads=1), rr_before_ms=one)), "early")[
            80:86
        ].max()
        for one in (at_once, stepwise)
    ]
    assert early[1] < 0.5 * early[0]


def test_bad_input_is_neutral_and_bounded() -> None:
    """NaN, infinite, zero and negative values give bounded measures, or none."""
    rows = some_rows(40, leads=2)
    losses, before, after = rows.losses.copy(), rows.rr_before_ms.copy(), rows.rr_after_ms.copy()
    losses[5] = np.nan
    losses[6], losses[7], losses[8] = np.inf, -1.0, 0.0
    before[10:14] = [np.nan, np.inf, 0.0, -5.0]
    after[10:14] = [np.nan, np.inf, 0.0, -5.0]
    beats = rows.beats.copy()
    beats[20], beats[21] = 0.0, 1e6
    rows = BeatRows(losses, beats, beats, rows.reconstructions, rows.readable, before, after)
    state, measured = measure(EvidenceState(), [a_usual_lead()] * 2, rows)
    known = np.isfinite(measured.measures).all(axis=1)
    assert np.flatnonzero(~known).tolist() == [5, 6, 7]
    assert (np.abs(measured.measures[known]) < 50).all()
    assert np.isfinite(measured.early).all()
    assert state.is_sane
    assert np.isnan(load_shipped_weights().ratios(measured.measures)[5:8]).all()


@pytest.mark.parametrize(
    "damage",
    [
        {"usual": math.nan},
        {"irregular": 2.0},
        {"in_block": 16},
        {"first": (1.0,) * 9},
        {"shapes": b"abc"},
        {"losses": (math.inf,)},
    ],
)
def test_a_damaged_state_is_not_sane(damage: dict[str, object]) -> None:
    """What was read from bytes is looked at before a patient goes on from it."""
    state, _ = measure(EvidenceState(), [a_usual_lead()], some_rows(40, leads=1))
    assert state.is_sane
    assert not state._replace(**damage).is_sane  # type: ignore[arg-type]


def labelled(n: int, seed: int) -> LabelledEvidence:
    generator = np.random.default_rng(seed)
    classes = np.where(generator.random(n) < 0.1, "V", "N")
    measures = generator.normal(0, 0.5, (n, len(MEASURES)))
    measures[:, MEASURES.index("unlike")] -= 4
    measures[classes == "V", :2] += 1
    return LabelledEvidence(measures, classes)


def test_weights_have_the_signs_of_physiology_and_a_cut_that_calibration_does_not_move() -> None:
    """Probabilities are put on the patients' prevalence; verdicts stay."""
    patients = [labelled(500, seed) for seed in range(4)]
    plain, calibrated = fit_weights(patients), fit_weights(patients, {"data": "x"}, calibrate=True)
    for term in plain.terms:
        assert all(one <= 0 if term.measure in FALLING else one >= 0 for one in term.weights)
    measures, classes = patients[0].measures, patients[0].classes
    anomalous = plain.ratios(measures) > 1
    assert ((anomalous == (classes == "V")).mean()) > 0.9
    assert (anomalous == (calibrated.ratios(measures) > 1)).mean() > 0.99
    shares = [calibrated.probabilities(one.measures).mean() for one in patients]
    assert np.mean(shares) == pytest.approx(0.1, abs=0.03)
    assert calibrated.provenance == {"data": "x"}


def test_weights_cannot_be_fitted_to_one_kind_of_beat() -> None:
    """Normal beats alone, no beats, or NaN are refused."""
    patient = labelled(50, 0)
    only_normal = LabelledEvidence(patient.measures, np.full(50, "N"))
    not_a_number = replace(patient, measures=patient.measures * np.nan)
    for patients in ([], [only_normal], [patient, not_a_number]):
        with pytest.raises(InvalidBeats):
            fit_weights(patients)


def test_weights_are_kept_in_a_file(tmp_path: Path) -> None:
    """What is read is what was written; the same weights give the same bytes."""
    weights = fit_weights([labelled(200, 0), labelled(200, 1)], {"data": "simulated"})
    save_weights(weights, tmp_path / "one.json")
    save_weights(load_weights(tmp_path / "one.json"), tmp_path / "two.json")
    assert load_weights(tmp_path / "one.json") == weights
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "two.json").read_bytes()


@pytest.mark.parametrize(
    ("find", "put"),
    [
        ('"format": 1', '"format": 2'),
        ('"cut": 0', '"cut": 7'),
        ('"measure": "loss"', '"measure": "noise"'),
        ('"intercept": ', '"intercept": 1e9'),
        ('"terms"', '"trems"'),
        ("{", "["),
    ],
)
def test_a_damaged_file_of_weights_is_refused(tmp_path: Path, find: str, put: str) -> None:
    """The message names the file."""
    path = tmp_path / "evidence.json"
    save_weights(fit_weights([labelled(200, 0)]), path)
    path.write_text(path.read_text().replace(find, put, 1))
    with pytest.raises(InvalidCheckpoint, match=r"evidence\.json"):
        load_weights(path)


def test_weights_of_the_wrong_sign_are_refused() -> None:
    """A loss that speaks against an anomaly is no evidence."""
    weights = load_shipped_weights()
    first = weights.terms[0]
    turned = replace(first, weights=tuple(-one for one in first.weights))
    with pytest.raises(InvalidConfig):
        EvidenceWeights(weights.intercept, (turned, *weights.terms[1:]), weights.cut, {})


def test_the_shipped_weights_say_where_they_come_from() -> None:
    """Data, licence, command and what was in sight are in the file."""
    provenance = load_shipped_weights().provenance
    assert "PhysioNet" in str(provenance["data"])
    assert str(provenance["made_by"]).startswith("python -m tools.fit_evidence")
    assert provenance["in_sight"]
