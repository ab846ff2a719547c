"""Weigh what a run of beats looks like, on labelled alarms and beats: the weights of the rules.

    python -m tools.fit_ventricular ../shared/data/cinc2015 ../shared/data/mitdb

Examples are the ventricular tachycardias of the challenge of 2015, true and false, and the runs of
MIT-BIH. An alarm is one if any of its runs is, so the run that counts is found anew with each fit
(learning from bags of instances). Prints the scores of records by weights of other records, and
`WEIGHTS` and `INTERCEPT` of `monitor/detection/rhythm/ventricular.py`, fitted on all.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm import irregular, rates, ventricular
from monitor.detection.rhythm.signs import RhythmMoment
from monitor.offline.alarms_run import (
    ALARM_S,
    BEFORE_S,
    read_alarm,
    read_moments,
    was_raised,
)
from monitor.offline.evaluation.alarms_report import MISSED_WEIGHT
from monitor.offline.rhythm_signs import without_waves
from monitor.sources.wfdb_record import list_records
from tools.measure_rhythm import Span, moments_of, truths

LIMITS = RhythmLimits()
CHALLENGE, ANNOTATED = "challenge", "annotated"
ANNOTATED_WEIGHT = 0.3  # of all records of MIT-BIH, to those of the challenge
PENALTY = 3.0  # of the squared weights, measures of standard deviation 1
LIMIT = 0.25  # log odds: the false alarms of MIT-BIH ask for a little more than even odds
IRREGULAR = (
    -1.0
)  # given, not fitted: runs themselves make the rhythm of an alarm's record irregular
FITS = 8  # until the runs that count no longer change
FOLDS, REPEATS = 5, 8
PIECE_S = 300.0  # of a record of MIT-BIH: what it shows once counts once in each
APART_S = 20.0  # runs of one record are as many examples


@dataclass(frozen=True)
class Bag:
    """Runs of which at least one is ventricular, or none."""

    record: str
    source: str
    ventricular: bool
    runs: NDArray[np.float64]  # (runs, measures)


@dataclass(frozen=True)
class Fitted:
    """Weights of measures; above 0 a run is told."""

    weights: NDArray[np.float64]
    intercept: float

    def of(self, bag: Bag) -> float:
        """Return the evidence of a bag's strongest run."""
        return float((bag.runs @ self.weights).max() + self.intercept) if len(bag.runs) else -50.0


def runs_of(
    seen: Sequence[RhythmMoment], fs_hz: float
) -> list[tuple[Span, float, ventricular.RunMeasures]]:
    """Return where each run of a record lies, when it was known, and its measures."""
    series, intervals = rates.SeriesState(), irregular.IrregularState()
    found = []
    for moment in seen:
        for beat in moment.beats:
            uneven, usual = intervals.holds, series.usual_ventricular
            intervals = irregular.follow_intervals(intervals, beat, usual, LIMITS)
            series = rates.follow(series, beat)
            n_beats = LIMITS.ventricular_tachycardia_beats
            measures = ventricular.run_measures(series, n_beats, LIMITS, uneven, fs_hz)
            if measures is not None:
                first, last = series.beats[-n_beats].r_sample, series.beats[-1].r_sample
                span = Span(first / fs_hz, last / fs_hz)
                found.append((span, moment.sample / fs_hz, measures))
    return found


def challenge_bags(folder: Path) -> tuple[list[Bag], list[tuple[bool, bool]]]:
    """Return the alarms of ventricular tachycardia; of the others whether each is true and told."""
    bags, others = [], []
    for name in list_records(folder):
        kind, true = read_alarm(folder / name)
        read = read_moments(folder / name)
        seen, fs_hz = [*map(without_waves, read.moments)], read.fs_hz
        if kind != "ventricular_tachycardia":
            others.append((true, was_raised(seen, kind, fs_hz)))
            continue
        since_s = ALARM_S - BEFORE_S - LIMITS.clear_s  # an alarm lasts so long behind its run
        runs = [measures for _, known_s, measures in runs_of(seen, fs_hz) if known_s > since_s]
        bags.append(Bag(name, CHALLENGE, true, _rows(runs)))
    return bags, others


def annotated_bags(folder: Path) -> list[Bag]:
    """Return ventricular runs of MIT-BIH, and five minutes each of what is none."""
    bags = []
    for name in list_records(folder):
        seen, fs_hz = moments_of(folder / name)
        spans = truths(folder / name, fs_hz)["ventricular_tachycardia"]
        true: list[list[ventricular.RunMeasures]] = []
        false: dict[int, list[ventricular.RunMeasures]] = {}
        until = -np.inf
        for run, _, measures in runs_of(seen, fs_hz):
            met = [one for one in spans if one.start_s <= run.stop_s and run.start_s <= one.stop_s]
            if any(_covers(one, run) for one in met):
                if run.start_s > until + APART_S:
                    true.append([])
                true[-1].append(measures)
                until = run.stop_s
            elif not met:  # else it is half a run
                false.setdefault(int(run.start_s / PIECE_S), []).append(measures)
        bags += [Bag(name, ANNOTATED, True, _rows(runs)) for runs in true]
        bags += [Bag(name, ANNOTATED, False, _rows(runs)) for runs in false.values()]
    return bags


def _covers(span: Span, run: Span) -> bool:
    return span.start_s - 0.5 <= run.start_s + (run.stop_s - run.start_s) / 2 <= span.stop_s + 0.5


def _rows(runs: Sequence[ventricular.RunMeasures]) -> NDArray[np.float64]:
    return np.array(runs, np.float64).reshape(-1, len(ventricular.SIGNS))


def fit(bags: Sequence[Bag]) -> Fitted:
    """Weigh the measures; true and false ones weigh the same."""
    bags = [bag for bag in bags if len(bag.runs)]
    runs = np.concatenate([bag.runs for bag in bags])
    mean, deviation = runs.mean(axis=0), runs.std(axis=0) + 1e-6
    scaled = [(bag.runs - mean) / deviation for bag in bags]
    labels = np.array([bag.ventricular for bag in bags], np.float64)
    shares = _shares(bags)
    signs = np.array(ventricular.SIGNS)
    bounds: list[tuple[float | None, float | None]]
    bounds = [(0, None) if sign > 0 else (None, 0) for sign in signs]
    found = np.append(0.3 * signs, 0.0)
    bounds[-1], found[-2] = (0, 0), 0.0  # of an irregular rhythm: `IRREGULAR`
    for _ in range(FITS):
        strongest = np.array([each[np.argmax(each @ found[:-1])] for each in scaled])

        def loss(
            guess: NDArray[np.float64], rows: NDArray[np.float64] = strongest
        ) -> tuple[float, NDArray[np.float64]]:
            odds = rows @ guess[:-1] + guess[-1]
            wrong = shares * (1 / (1 + np.exp(-odds)) - labels)
            total = shares @ (np.logaddexp(0, odds) - labels * odds)
            total += PENALTY / 2 * guess[:-1] @ guess[:-1]
            return total, np.append(rows.T @ wrong + PENALTY * guess[:-1], wrong.sum())

        before = found
        found = minimize(loss, found, jac=True, method="L-BFGS-B", bounds=[*bounds, (None, None)]).x
        if np.abs(found - before).max() < 1e-4:
            break
    weights = found[:-1] / deviation
    intercept = float(found[-1] - weights @ mean) - LIMIT
    weights[-1] = IRREGULAR
    return Fitted(weights, intercept)


def _shares(bags: Sequence[Bag]) -> NDArray[np.float64]:
    """Return what each bag weighs: each source, class and record of it the same, all n."""
    of_record = Counter((bag.source, bag.ventricular, bag.record) for bag in bags)
    records = Counter((source, true) for source, true, _ in of_record)
    weight = {CHALLENGE: 1.0, ANNOTATED: ANNOTATED_WEIGHT}
    shares = np.array(
        [
            weight[bag.source]
            / of_record[bag.source, bag.ventricular, bag.record]
            / records[bag.source, bag.ventricular]
            for bag in bags
        ]
    )
    scaled: NDArray[np.float64] = shares * len(bags) / shares.sum()
    return scaled


def score(true: NDArray[np.bool_], told: NDArray[np.bool_]) -> float:
    """Return the challenge's score."""
    right, missed = float(np.sum(true == told)), float(np.sum(true & ~told))
    false = float(np.sum(~true & told))
    return 100 * right / (right + false + MISSED_WEIGHT * missed)


def by_folds(bags: Sequence[Bag], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return the challenge's alarms: whether each is true, and its evidence by other records."""
    judged = [bag for bag in bags if bag.source == CHALLENGE]
    others = [bag for bag in bags if bag.source == ANNOTATED]
    true = np.array([bag.ventricular for bag in judged])
    fold = np.zeros(len(judged), np.int64)
    rng = np.random.default_rng(seed)
    for which in (true, ~true):
        fold[which] = rng.permutation(np.arange(which.sum()) % FOLDS)
    odds = np.zeros(len(judged))
    for k in range(FOLDS):
        fitted = fit([bag for bag, f in zip(judged, fold, strict=True) if f != k] + others)
        odds[fold == k] = [fitted.of(bag) for bag, f in zip(judged, fold, strict=True) if f == k]
    return true, odds


def left_out(bags: Sequence[Bag]) -> tuple[int, int, int]:
    """Return how many pieces of MIT-BIH ring falsely, and of how many runs how many are found."""
    annotated = [bag for bag in bags if bag.source == ANNOTATED]
    false = found = 0
    for record in sorted({bag.record for bag in annotated}):
        fitted = fit([bag for bag in bags if bag.record != record])
        told = [bag for bag in annotated if bag.record == record and fitted.of(bag) > 0]
        found += sum(bag.ventricular for bag in told)
        false += sum(not bag.ventricular for bag in told)
    return false, found, sum(bag.ventricular for bag in annotated)


def main(challenge: Path, annotated: Path) -> None:
    """Fit, judge and print."""
    of_challenge, others = challenge_bags(challenge)
    bags = [*of_challenge, *annotated_bags(annotated)]
    others_true, others_told = np.array(others, np.bool_).reshape(-1, 2).T
    scores, of_all, sensitivity, specificity, areas = [], [], [], [], []
    for seed in range(REPEATS):
        true, odds = by_folds(bags, seed)
        scores.append(score(true, odds > 0))
        all_told = np.append(others_told, odds > 0)
        of_all.append(score(np.append(others_true, true), all_told))
        sensitivity.append(float(np.mean(odds[true] > 0)))
        specificity.append(float(np.mean(odds[~true] <= 0)))
        areas.append(float(np.mean(odds[true][:, None] > odds[~true])))
    print(
        f"Challenge, {REPEATS} times by {FOLDS} folds: score {np.mean(scores):.1f} "
        f"({min(scores):.1f} to {max(scores):.1f}), sensitivity {np.mean(sensitivity):.2f}, "
        f"specificity {np.mean(specificity):.2f}, area {np.mean(areas):.3f}.\n"
        f"With the {len(others)} alarms of other kinds, by the limits as they are: "
        f"score {np.mean(of_all):.1f} ({min(of_all):.1f} to {max(of_all):.1f})."
    )
    false, found, runs = left_out(bags)
    print(f"MIT-BIH, each record by the others: {false} false, {found} of {runs} runs.")
    fitted = fit(bags)
    values = ", ".join(f"{value:.2f}" for value in fitted.weights)
    print(f"WEIGHTS = RunMeasures({values})\nINTERCEPT = {fitted.intercept:.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(str(__doc__))
    main(Path(sys.argv[1]), Path(sys.argv[2]))
