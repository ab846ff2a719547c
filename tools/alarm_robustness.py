"""Named alarms on alarms of intensive care whose ECG was recorded otherwise.

    python -m tools.alarm_robustness ../shared/data/cinc2015       # seven minutes of one core
    python -m tools.alarm_robustness ../shared/data/cinc2015 3     # each third record

Prints Markdown for docs/ALARMS.md: the score of the challenge, ECG leads alone, upside down, at
half and double the gain, in another order, with the hum of mains, and with the noise of muscles in
one lead during the last half minute.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.offline.alarms_run import ALARM_S, read_alarm, was_raised
from monitor.offline.evaluation.alarms_report import AlarmResult, count
from monitor.offline.rhythm_signs import moments_of_signals
from monitor.sources.wfdb_record import WfdbRecord, list_records
from tools.pages import table

Leads = NDArray[np.float32]
HUM_MV = 0.05
MUSCLES = 0.5  # standard deviation, of what the lead's signal seldom exceeds
MUSCLES_FROM_HZ = 20.0  # less below
MUSCLES_S = 30.0


def hum(leads: Leads, fs_hz: float, mains_hz: float) -> Leads:
    """Return the leads with a sinusoid on top."""
    phase = 2 * np.pi * mains_hz * np.arange(leads.shape[1]) / fs_hz
    return np.asarray(leads + HUM_MV * np.sin(phase), np.float32)


def muscles(leads: Leads, fs_hz: float, lead: int) -> Leads:
    """Return the leads with the noise of muscles in one, towards the end."""
    noisy, n = leads.copy(), min(round(MUSCLES_S * fs_hz), leads.shape[1])
    spectrum = np.fft.rfft(np.random.default_rng(3).normal(size=n))
    spectrum *= np.minimum(np.fft.rfftfreq(n, 1 / fs_hz) / MUSCLES_FROM_HZ, 1)
    noise = np.fft.irfft(spectrum, n)
    height = np.nanquantile(np.abs(leads[lead] - np.nanmedian(leads[lead])), 0.99)
    noisy[lead, -n:] += np.asarray(MUSCLES * height * noise / noise.std(), np.float32)
    return noisy


VARIANTS: dict[str, Callable[[Leads, float], Leads]] = {
    "as recorded": lambda leads, _: leads,
    "upside down": lambda leads, _: -leads,
    "half the gain": lambda leads, _: leads * np.float32(0.5),
    "double the gain": lambda leads, _: leads * np.float32(2.0),
    "last lead first": lambda leads, _: leads[::-1].copy(),
    "hum of 50 Hz": lambda leads, fs_hz: hum(leads, fs_hz, 50.0),
    "hum of 60 Hz": lambda leads, fs_hz: hum(leads, fs_hz, 60.0),
    "muscles in the first lead": lambda leads, fs_hz: muscles(leads, fs_hz, 0),
    "muscles in the last lead": lambda leads, fs_hz: muscles(leads, fs_hz, -1),
}


def judged(
    folder: Path, every: int, change: Callable[[Leads, float], Leads]
) -> Iterator[AlarmResult]:
    """Yield what became of each record whose leads were changed; of every so many one."""
    for name in list_records(folder)[::every]:
        kind, true = read_alarm(folder / name)
        with WfdbRecord.open(folder / name) as record:
            fs_hz, stop = record.fs_hz, min(round(ALARM_S * record.fs_hz), record.n_samples)
            leads = change(record.read(0, stop), fs_hz)
        told = was_raised(moments_of_signals(leads, fs_hz), kind, fs_hz)
        yield AlarmResult(name, kind, true, ecg=told)


def report(folder: Path, every: int = 1) -> str:
    """Return the table; says on stderr which records changed."""
    rows: list[list[str]] = []
    usual: dict[str, bool] = {}
    for name, change in VARIANTS.items():
        results = list(judged(folder, every, change))
        counts = count(results, "ecg")
        told = {one.record: one.ecg for one in results}
        usual = usual or told
        changed = [record for record, was in told.items() if was is not usual[record]]
        numbers = (counts.tp, counts.fp, counts.tn, counts.fn)
        rows.append([name, *map(str, numbers), f"{counts.score:.1f}", str(len(changed))])
        sys.stderr.write(f"{name}: {' '.join(changed) or 'none'} changed\n")
    return table(["signal", "TP", "FP", "TN", "FN", "score", "records changed"], rows)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(str(__doc__))
    print(report(Path(sys.argv[1]), *map(int, sys.argv[2:])))
