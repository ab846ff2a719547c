#!/usr/bin/env bash
# neurokit2 0.3.0, ecg_process: the beat that ends a pause is moved into the pause, and a premature beat to where there is none.
#
# `ecg_process` is the whole way from a lead to R peaks and rate; it corrects "artifacts" after Lipponen and Tarvainen
# (`correct_artifacts=True`), a correction made for heart rate variability. Guess before the run: it corrects intervals
# (`ECG_Rate`), and the R peaks stay where the signal has them, as those of `ecg_peaks` do. Seen, on a lead at 72 a minute:
#   A pause of 5.0 s without a single wave. The beat at its end, at 34.67 s, is reported at 32.58 s, where the lead is flat;
#     nothing is reported at 34.67 s. The pause becomes two intervals of 2.9 s. So does one of 3.3 s: two of 2.1 s.
#   A ventricular beat at 30.20 s with its compensatory pause: reported at 30.42 s, between QRS and T wave of that beat, and
#     the normal beat behind it 150 ms early. The shortest interval, 0.53 s, becomes 0.76 s: it is no longer premature.
#   `ECG_R_Peaks` of the table and of `info` hold these; no column says which were moved (`ECG_fixpeaks_*` has their numbers).
#   `ecg_peaks(ecg_clean(lead))` has every beat within two samples of where it is.
#
# Why it matters for ECG streams: an alarm for pauses of 3 s that is fed by it misses the pause; a count of premature beats is
# near zero; beats that are cut out at these peaks are flat line, or another beat's slope, and an anomaly detector learns or
# reports them as beats. Take the peaks of `ecg_peaks`, and correct only copies that go into variability.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet neurokit2==0.3.0 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1
venv/bin/python - <<'PY'
import warnings

warnings.simplefilter("ignore")
import neurokit2 as nk
import numpy as np

FS, SECONDS = 250, 60
NORMAL = ((-0.2, 0.12, 0.025), (-0.03, -0.1, 0.01), (0, 1.1, 0.012), (0.03, -0.2, 0.012), (0.28, 0.3, 0.05))
VENTRICULAR = ((0, 1.6, 0.03), (0.06, -0.8, 0.03), (0.28, -0.4, 0.06))


def lead(beats_s, ventricular=None):
    """Return a lead in mV; each beat is a sum of waves (seconds from its R peak, height, width)."""
    t = np.arange(SECONDS * FS) / FS
    samples = np.random.default_rng(0).normal(0, 0.01, len(t))
    for beat_s in beats_s:
        for at_s, height, width_s in VENTRICULAR if beat_s == ventricular else NORMAL:
            samples += height * np.exp(-(((t - beat_s - at_s) / width_s) ** 2) / 2)
    return samples


def both(samples):
    """Return the R peaks in seconds of ecg_process and of ecg_peaks."""
    _, info = nk.ecg_process(samples, sampling_rate=FS)
    _, plain = nk.ecg_peaks(nk.ecg_clean(samples, sampling_rate=FS), sampling_rate=FS)
    return np.asarray(info["ECG_R_Peaks"]) / FS, np.asarray(plain["ECG_R_Peaks"]) / FS


def off(beats_s, peaks_s):
    """Return how far each beat is from the nearest peak, in seconds."""
    return np.abs(beats_s[:, None] - peaks_s).min(1)


print("neurokit2", nk.__version__)
regular = np.arange(0.5, 59.5, 60 / 72)
for pause_s in (2.5, 4):
    beats = regular[(regular < 30) | (regular > 30 + pause_s)]
    last, first = beats[beats < 30][-1], beats[beats > 30][0]
    samples = lead(beats)
    processed, plain = both(samples)
    invented = processed[off(processed, beats) > 0.5]
    assert len(invented) == 1
    flat = samples[int(invented[0] * FS) - 25 : int(invented[0] * FS) + 25]
    print(f"pause from {last:.2f} to {first:.2f} s, {first - last:.1f} s: ecg_process has a beat at {invented[0]:.2f} s, where the lead "
          f"spans {np.ptp(flat):.2f} mV, and none within {off(beats, processed).max():.1f} s of {beats[off(beats, processed).argmax()]:.2f} s; "
          f"its longest interval is {np.diff(processed).max():.1f} s; of ecg_peaks {np.diff(plain).max():.1f} s")
    assert off(beats, plain).max() < 0.01 and np.diff(plain).max() > 3
    assert np.ptp(flat) < 0.1 and off(beats, processed)[beats == first] > 0.8, "the beat stays where it is"
    assert np.diff(processed).max() < 3, "the pause is there"

beats = regular.copy()
beats[36] -= 0.3
processed, plain = both(lead(beats, ventricular=beats[36]))
print(f"ventricular beat at {beats[36]:.2f} s, next one at {beats[37]:.2f}: ecg_process has {np.round(processed[36:38], 2)}, ecg_peaks "
      f"{np.round(plain[36:38], 2)}; the shortest interval is {np.diff(processed).min():.2f} s, of ecg_peaks {np.diff(plain).min():.2f} s")
assert off(beats, plain).max() < 0.01 and np.diff(plain).min() < 0.55
assert 0.15 < processed[36] - beats[36] < 0.3 and 0.1 < beats[37] - processed[37] < 0.2, "the beats stay where they are"
assert np.diff(processed).min() > 0.7
PY
echo "as described"
