"""Named alarms on records with annotated beats, and how soon they ring on simulated events.

    python -m tools.measure_rhythm ../shared/data/mitdb    # false alarms an hour; irregular rhythm
    python -m tools.measure_rhythm --delays                # seconds from an event to its alarm

Prints Markdown for docs/ALARMS.md. A record of half an hour with two leads takes 3 s of one core.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import numpy as np
import wfdb
from numpy.typing import NDArray

from monitor.alarm_limits import RhythmLimits
from monitor.detection.rhythm.life_cycle import AlarmChange
from monitor.detection.rhythm.signs import RhythmMoment
from monitor.detection.rhythm.step import RhythmState, step
from monitor.offline.rhythm_signs import moments
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.simulated_events import NIGHT
from monitor.sources.wfdb_record import WfdbRecord, list_records
from monitor.wire.messages import AlarmKind
from tools.pages import table

BEATS = frozenset("NLRBejAaJSnVEFr/fQ!")
VENTRICULAR = frozenset("VE!")
FIBRILLATION = ("(AFIB", "(AFL")
LATE_S = 2.0  # an alarm may begin so long after what it is about
SEEDS = range(12)
KIND_OF: dict[str, AlarmKind] = {  # what an event of `night` must ring
    "asystole": "asystole",
    "ventricular_fibrillation": "ventricular_fibrillation",
    "ventricular_tachycardia": "ventricular_tachycardia",
    "ventricular_run": "ventricular_run",
    "tachycardia": "extreme_tachycardia",
    "bradycardia": "extreme_bradycardia",
    "pause": "pause",
    "atrial_fibrillation": "irregular_rhythm",
}


class Span(NamedTuple):
    """A stretch of a record, in seconds."""

    start_s: float
    stop_s: float


def moments_of(path: Path) -> tuple[list[RhythmMoment], float]:
    """Return what a record's first two leads show, and its sampling rate."""
    with WfdbRecord.open(path, (0, 1)) as record:
        leads = record.read(0, record.n_samples)
        return list(moments(leads, None, record.fs_hz)), record.fs_hz


def changes_of(path: Path) -> tuple[list[AlarmChange], float, float]:
    """Return the alarms of a record's leads, its sampling rate, and its length in seconds."""
    seen, fs_hz = moments_of(path)
    state = RhythmState()
    found: list[AlarmChange] = []
    for moment in seen:
        state, changes = step(state, moment, fs_hz, RhythmLimits())
        found += changes
    return found, fs_hz, seen[-1].sample / fs_hz


def truths(path: Path, fs_hz: float) -> dict[AlarmKind, list[Span]]:
    """Return where the annotated beats meet the definition of each kind of high priority."""
    notes = wfdb.rdann(str(path), "atr")
    symbols = np.array(notes.symbol)
    is_beat = np.isin(symbols, list(BEATS))
    at_s, beats = notes.sample[is_beat] / fs_hz, symbols[is_beat]

    def windows(n: int, meets: Callable[[float], bool], only: frozenset[str]) -> list[Span]:
        return [
            Span(at_s[k], at_s[k + n - 1])
            for k in range(len(at_s) - n + 1)
            if meets(60 * (n - 1) / (at_s[k + n - 1] - at_s[k]))
            and all(symbol in only for symbol in beats[k : k + n])
        ]

    flutter = _between(notes.sample / fs_hz, notes.symbol)
    return {
        "asystole": [Span(a, b) for a, b in pairwise(at_s) if b - a > 3.4],
        "ventricular_fibrillation": flutter,
        "ventricular_tachycardia": [*windows(4, lambda rate: rate > 90, VENTRICULAR), *flutter],
        "extreme_tachycardia": windows(17, lambda rate: rate > 133, BEATS),
        "extreme_bradycardia": windows(5, lambda rate: rate < 42, BEATS),
    }


def _between(at_s: NDArray[np.float64], symbols: Sequence[str]) -> list[Span]:
    spans, since = [], None
    for at, symbol in zip(at_s.tolist(), symbols, strict=True):
        if symbol == "[":
            since = at
        elif symbol == "]" and since is not None:
            spans.append(Span(since, at))
            since = None
    return spans


def irregular_seconds(path: Path, fs_hz: float, length_s: float) -> NDArray[np.bool_]:
    """Return which seconds are annotated as fibrillation or flutter of the atria."""
    notes = wfdb.rdann(str(path), "atr")
    marked = np.zeros(int(length_s) + 1, np.bool_)
    rhythm, since = "", 0.0
    texts = [note.strip("\x00") for note in notes.aux_note]
    for at, note in [*zip(notes.sample / fs_hz, texts, strict=True), (length_s, "(N")]:
        if note.startswith("("):
            if rhythm in FIBRILLATION:
                marked[int(since) : int(at)] = True
            rhythm, since = note, at
    return marked


def alarm_seconds(
    changes: Sequence[AlarmChange], fs_hz: float, length_s: float
) -> NDArray[np.bool_]:
    """Return in which seconds the alarm of an irregular rhythm was on."""
    marked = np.zeros(int(length_s) + 1, np.bool_)
    for change in changes:
        if change.kind == "irregular_rhythm":
            marked[int(change.sample / fs_hz) :] = change.state == "onset"
    return marked


def annotated(folder: Path) -> str:
    """Return the tables of a folder of annotated records."""
    rows, an_hour = [], []
    on = right = there = 0
    for name in list_records(folder):
        changes, fs_hz, length_s = changes_of(folder / name)
        truth = truths(folder / name, fs_hz)
        high = [one for one in changes if one.state == "onset" and one.priority == "high"]
        false = [one for one in high if not _is_true(one, truth[one.kind], fs_hz)]
        an_hour.append(3600 * len(false) / length_s)
        kinds = ", ".join(sorted({one.kind for one in false})) or "-"
        if high:
            rows.append([name, str(len(high) - len(false)), str(len(false)), kinds])
        marked = irregular_seconds(folder / name, fs_hz, length_s)
        alarm = alarm_seconds(changes, fs_hz, length_s)
        on, right = on + int(alarm.sum()), right + int((alarm & marked).sum())
        there += int(marked.sum())
        sys.stderr.write(f"{name}\n")
    lines = [
        table(["record", "true", "false", "kinds of the false ones"], rows),
        f"False alarms of high priority an hour: mean {mean(an_hour):.2f}, "
        f"median {median(an_hour):.2f}.",
        f"Irregular rhythm by time: sensitivity {right / max(there, 1):.3f}, precision "
        f"{right / max(on, 1):.3f}.",
    ]
    return "\n".join(lines)


def _is_true(change: AlarmChange, spans: Sequence[Span], fs_hz: float) -> bool:
    start_s, stop_s = change.since_sample / fs_hz - LATE_S, change.sample / fs_hz
    return any(span.start_s <= stop_s and span.stop_s >= start_s for span in spans)


def delays() -> str:
    """Return the seconds of signal from the first sample of a simulated event to its alarm."""
    found: dict[str, list[float]] = {}
    missed: dict[str, int] = {}
    for kind, delay_s in _delays():
        found.setdefault(kind, [])
        if delay_s is None:
            missed[kind] = missed.get(kind, 0) + 1
        else:
            found[kind].append(delay_s)
    rows = [
        [
            kind,
            f"{median(each):.1f}" if each else "-",
            f"{max(each):.1f}" if each else "-",
            str(missed.get(kind, 0)),
        ]
        for kind, each in found.items()
    ]
    return table(["alarm", "median, s", "longest, s", f"missed of {len(SEEDS)}"], rows)


def _delays() -> Iterator[tuple[str, float | None]]:
    with tempfile.TemporaryDirectory() as folder:
        for seed in SEEDS:
            path = Path(folder) / f"night{seed}"
            settings = SimulationSettings(0.05, seed, anomaly_rate=0.0, scenario=NIGHT)
            write_record(path, settings)
            changes, fs_hz, _ = changes_of(path)
            for event in NIGHT:
                kind = KIND_OF.get(event.kind)
                if kind is None:
                    continue
                times = [
                    change.sample / fs_hz - event.at_s
                    for change in changes
                    if change.kind == kind
                    and change.state == "onset"
                    and event.at_s <= change.sample / fs_hz <= event.until_s + LATE_S
                ]
                yield kind, min(times, default=None)


if __name__ == "__main__":
    if sys.argv[1:] == ["--delays"]:
        print(delays())
    elif len(sys.argv) == 2:
        print(annotated(Path(sys.argv[1])))
    else:
        sys.exit(str(__doc__))
