#!/usr/bin/env bash
# hrv-analysis 1.0.6, rule of Acar: after nine intervals that it removes in a row, it removes all that follow, for ever.
#
# `remove_ectopic_beats` and `get_nn_intervals` compare each RR interval with the mean of the nine before it (Acar et al. 2000),
# and keep it if it is within 20 %. Guess before the run: a run of fast beats is removed, and what follows at the old rate stays.
# Seen: the mean is taken of what was kept among the last nine. 60 intervals of 1,000 ms, a run of 450 ms, 300 more of 1,000 ms:
#   A run of 8: those 8 are removed, all else stays.
#   A run of 9: nothing is left to compare with, and no comparison with NaN is true. The 300 of 1,000 ms are removed as well; so
#     would be those of hours. `get_nn_intervals` then fills them in: 300 intervals at exactly the last value that was kept.
#   120 intervals of 500 ms, that stay: a minute of tachycardia at 120 becomes 60 a minute.
#   The rules of Malik, Kamath and Karlsson remove one to three of them, however long the run.
# It prints how many it removed, raises nothing, and numpy warns of the mean of an empty slice.
# (nolds 0.6.3, which it asks for, cannot be imported by Python 3.11; the script takes 0.6.2.)
#
# Why it matters for ECG streams: ten beats of ventricular tachycardia, or a pause in the detector of some seconds, end the record:
# behind them the heart rate is constant and its variability zero, which reads as a patient close to death or as a pacemaker. A
# short recording never shows it. Count what was removed in a row; begin the rule anew behind a run.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet \
  astropy==8.0.2 matplotlib==3.11.2 nolds==0.6.2 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
venv/bin/python -m pip --disable-pip-version-check install --quiet --no-deps hrv-analysis==1.0.6
cat >look.py <<'PY'
import contextlib
import io
import warnings
from importlib.metadata import version

import hrvanalysis
import numpy as np

rng = np.random.default_rng(0)


def intervals(*stretches):
    """Return RR intervals in ms, 8 ms of variation about each stretch of (count, ms)."""
    return [float(rr) for n, ms in stretches for rr in np.round(rng.normal(ms, 8, n))]


def cleaned(rr, rule):
    """Return what the rule keeps, NaN for what it removes, and the intervals that get_nn_intervals makes of it."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = hrvanalysis.remove_ectopic_beats(list(rr), method=rule)
        return np.array(kept), np.array(hrvanalysis.get_nn_intervals(list(rr), ectopic_beats_removal_method=rule))


print("hrv-analysis", version("hrv-analysis"))
for run in (8, 9):
    rr = intervals((60, 1000), (run, 450), (300, 1000))
    for rule in ("acar", "malik", "kamath", "karlsson"):
        kept, nn = cleaned(rr, rule)
        removed = np.isnan(kept[-300:]).sum()
        print(f"a run of {run} fast beats, {rule}: {removed} of the 300 normal intervals behind it removed; "
              f"their standard deviation {np.std(rr[-300:]):.1f} ms becomes {np.std(nn[-300:]):.1f} ms")
        if rule == "acar" and run == 9:
            assert removed == 300 and np.std(nn[-300:]) == 0, "it finds back behind the run"
        else:
            assert removed <= 2
rr = intervals((60, 1000), (120, 500))
for rule in ("acar", "malik"):
    kept, nn = cleaned(rr, rule)
    print(f"120 a minute for a minute, {rule}: {60000 / nn[-100:].mean():.0f} a minute")
    assert abs(60000 / nn[-100:].mean() - (60 if rule == "acar" else 120)) < 2
PY
venv/bin/python look.py
echo "as described"
