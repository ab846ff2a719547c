"""How well named alarms tell true alarms of intensive care from false ones.

The score is that of the PhysioNet/CinC Challenge 2015 (Clifford and others, Computing in Cardiology
42 (2015) 273-276): a true alarm that is missed weighs five times as much as a false one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table
from rich.text import Text

from monitor.text import harmless
from monitor.wire.messages import AlarmKind

MISSED_WEIGHT = 5
KINDS: dict[str, AlarmKind] = {  # as the challenge's headers name them
    "Asystole": "asystole",
    "Bradycardia": "extreme_bradycardia",
    "Tachycardia": "extreme_tachycardia",
    "Ventricular_Tachycardia": "ventricular_tachycardia",
    "Ventricular_Flutter_Fib": "ventricular_fibrillation",
}
WITHOUT_MISSES = (
    "asystole",
    "ventricular_fibrillation",
    "extreme_bradycardia",
    "extreme_tachycardia",
)
VIEWS = ("ecg", "ecg_and_pulse")


@dataclass(frozen=True)
class AlarmResult:
    """What became of one record.

    Attributes
    ----------
    kind : str
        The alarm of the bedside monitor.
    true : bool
        Whether experts found it true.
    ecg, ecg_and_pulse : bool
        Whether the same alarm was on within the 10 s before: with the ECG leads alone, and with
        pulse waves as witnesses.
    leads, waves : tuple of str
        Names of the signals that were read.
    note : str
        Why the record could not be judged; it is left out of all figures.
    """

    record: str
    kind: str = ""
    true: bool = False
    ecg: bool = False
    ecg_and_pulse: bool = False
    leads: tuple[str, ...] = ()
    waves: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class AlarmCounts:
    """True and false alarms that were raised or were not."""

    tp: int
    fp: int
    tn: int
    fn: int

    @property
    def sensitivity(self) -> float:
        """Share of the true alarms that were raised; NaN where there is none."""
        return _share(self.tp, self.tp + self.fn)

    @property
    def specificity(self) -> float:
        """Share of the false alarms that were not raised; NaN where there is none."""
        return _share(self.tn, self.tn + self.fp)

    @property
    def score(self) -> float:
        """Score of the challenge, 0 to 100."""
        right = self.tp + self.tn
        return 100 * _share(right, right + self.fp + MISSED_WEIGHT * self.fn)

    def figures(self) -> dict[str, float | None]:
        """Return counts and figures as JSON takes them; null where a figure is not defined."""
        rates = {
            "sensitivity": self.sensitivity,
            "specificity": self.specificity,
            "score": self.score,
        }
        return asdict(self) | {
            name: round(value, 4) if math.isfinite(value) else None for name, value in rates.items()
        }


def count(results: Sequence[AlarmResult], view: str) -> AlarmCounts:
    """Count the results of records that could be judged."""
    pairs = [(bool(getattr(one, view)), one.true) for one in results if not one.note]
    return AlarmCounts(
        tp=pairs.count((True, True)),
        fp=pairs.count((True, False)),
        tn=pairs.count((False, False)),
        fn=pairs.count((False, True)),
    )


def by_kind(results: Sequence[AlarmResult], view: str) -> dict[str, AlarmCounts]:
    """Return the counts of each kind, of those that may not be missed together, and of all."""
    rows: dict[str, AlarmCounts] = {
        kind: count([one for one in results if one.kind == kind], view) for kind in KINDS.values()
    }
    together = [one for one in results if one.kind in WITHOUT_MISSES]
    rows["all but ventricular_tachycardia"] = count(together, view)
    rows["all"] = count(results, view)
    return rows


def to_table(results: Sequence[AlarmResult]) -> Table:
    """Return the report as a Rich table."""
    table = Table(
        title="Alarms of intensive care: true and false ones that were raised",
        caption="score 100 (TP + TN) / (TP + TN + FP + 5 FN), of the PhysioNet/CinC Challenge 2015",
    )
    table.add_column("signals")
    table.add_column("kind")
    for heading in ("TP", "FP", "TN", "FN", "Se", "Sp", "score"):
        table.add_column(heading, justify="right")
    for view in VIEWS:
        table.add_section()
        for kind, counts in by_kind(results, view).items():
            rates = (counts.sensitivity, counts.specificity)
            table.add_row(
                view.replace("_", " "),
                Text(harmless(kind)),
                *(str(n) for n in (counts.tp, counts.fp, counts.tn, counts.fn)),
                *("-" if math.isnan(rate) else f"{rate:.2f}" for rate in rates),
                "-" if math.isnan(counts.score) else f"{counts.score:.1f}",
                style="bold" if kind == "all" else "",
            )
    return table


def to_json(results: Sequence[AlarmResult]) -> str:
    """Return the report as JSON."""
    document = {
        "protocol": "PhysioNet/CinC Challenge 2015, real time: an alarm counts that is on, in its "
        "kind, within the 10 s before 5:00",
        "figures": {
            view: {kind: counts.figures() for kind, counts in by_kind(results, view).items()}
            for view in VIEWS
        },
        "records": {one.record: asdict(one) for one in results},
    }
    return json.dumps(document, indent=2, allow_nan=False)


def _share(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
