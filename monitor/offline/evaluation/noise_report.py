"""The report of `evaluate noise`: as a table for people, as Markdown for a page, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict

from monitor.offline.evaluation.noise_figures import NoiseResult, StretchFigures
from monitor.offline.evaluation.patients_report import PROTOCOL, Sheet, cell, plain

NOISE = "noise from 5:00 on, two minutes noisy, two clean"
NOISY = {
    "false_onsets_per_hour": "false/h", "false_episodes_per_hour": "runs/h", "precision": "prec.",
    "recall": "recall", "recall_v": "V", "missed": "missed", "withheld": "withheld",
    "unjudged_v": "V, either", "n_v": "V beats",
}  # fmt: skip
CLEAN = {
    "false_onsets_per_hour": "clean: false/h", "recall": "clean: recall", "recall_v": "clean: V",
}  # fmt: skip


def sheet(results: Sequence[NoiseResult]) -> Sheet:
    """Return the report's table: each record by its signal-to-noise ratio, the cleanest first."""
    return Sheet(
        "Noise stress: verdicts and alerts in noise",
        f"{PROTOCOL}; {NOISE}. Runs of normal beats marked an hour of all that was judged; then in "
        "the noisy minutes: false alerts begun and runs an hour; precision, recall, recall of V; "
        "share of the reference beats that were not found, that were found and not judged, and of "
        "V beats that were either; how many V beats; then the clean minutes between",
        ["dB", "runs/h", *NOISY.values(), *CLEAN.values()],
        [(one.record, list(_cells(one))) for one in results],
        [],
    )


def _cells(result: NoiseResult) -> Iterator[str]:
    yield f"{result.snr_db:.0f}"
    yield cell("_per_hour", result.false_episodes_per_hour)
    yield from _of(result.noisy, NOISY)
    yield from _of(result.clean, CLEAN)


def _of(figures: StretchFigures | None, columns: Iterable[str]) -> Iterator[str]:
    for name in columns:
        yield "-" if figures is None else cell(name, getattr(figures, name))


def to_json(results: Sequence[NoiseResult]) -> str:
    """Return the report as JSON; null where a figure is not defined."""
    document = {
        "protocol": f"{PROTOCOL}; {NOISE}",
        "records": {one.record: asdict(one) for one in results},
    }
    return json.dumps(plain(document), indent=2, allow_nan=False)
