"""Options and arguments that several commands share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, get_args

import typer

from segmenter.beat import Window

WINDOWS = ", ".join(get_args(Window))


Records = Annotated[
    list[str] | None,
    typer.Argument(
        help="WFDB records by path (mitdb/119) or PhysioNet name (chfdb/chf07). "
        "None: a simulated chf07-style record.",
        show_default=False,
    ),
]
SomeRecords = Annotated[
    list[str] | None,
    typer.Argument(help="WFDB records by path or PhysioNet name.", show_default=False),
]
Lead = Annotated[str | None, typer.Option(help="Lead by name (MLII) or index (0).")]
Epochs = Annotated[
    int | None,
    typer.Option(help="Passes over the training beats; default: by their number."),
]
WindowName = Annotated[str | None, typer.Option("--window", help=f"Beat window: {WINDOWS}.")]
Ecg5000Files = Annotated[
    list[Path] | None,
    typer.Option("--ecg5000", help="ECG5000 file (.txt, .tsv, .arff, .ts); more may follow it."),
]
Speed = Annotated[str, typer.Option(help="Factor of real time, or max.")]
StartAt = Annotated[str, typer.Option("--start", help="Where to begin: 90, 1:30 or 1:30:00.")]
Duration = Annotated[str | None, typer.Option(help="How long: 90, 1:30 or 1:30:00.")]
Loop = Annotated[bool, typer.Option("--loop", help="Begin again at the end.")]
CheckpointPath = Annotated[
    Path | None, typer.Option("--checkpoint", help="Model file; default: the one that ships.")
]
ThresholdText = Annotated[
    str | None,
    typer.Option("--threshold", help="Loss above which a beat is anomalous; default: the model's."),
]
Learn = Annotated[
    str | None,
    typer.Option(help="Learn this patient's normal from so much of the record first: 5:00."),
]
FalseAlerts = Annotated[
    float,
    typer.Option("--false-alerts-per-hour", min=0.001, max=1000, help="Aim of a learnt threshold."),
]
AlertsEndpoint = Annotated[
    str, typer.Option("--alerts", help="Alert socket; requests go to the next port.")
]
Journal = Annotated[
    Path | None,
    typer.Option(
        help="Keep alerts in this file (learnt models beside it); the same run goes on in it. "
        "Default: for this run only."
    ),
]
Since = Annotated[
    str | None, typer.Option(help="Begin at a time, 2026-03-01T22:00, or so long ago: 8:00:00.")
]
RulesFile = Annotated[
    Path | None,
    typer.Option("--rules", help="Alert rules, TOML; `ecg-monitor rules` prints the defaults."),
]
KeysFolder = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder of keys (`ecg-monitor keys init`): encrypts tcp sockets."),
]


def _finite(value: float) -> float:
    if not math.isfinite(value):  # the bounds let nan through
        raise typer.BadParameter(f"{value} is no amount")
    return value


KeepDays = Annotated[
    float,
    typer.Option(min=0.001, max=100_000, callback=_finite, help="Remove alerts that are older."),
]
KeepMb = Annotated[
    float,
    typer.Option(min=1, callback=_finite, help="Remove the oldest alerts of a bigger file."),
]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object a line on stdout.")]
