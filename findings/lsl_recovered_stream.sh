#!/usr/bin/env bash
# pylsl 1.18.6 (liblsl 1.18.0): an inlet that recovers a restarted outlet keeps the first one's description.
#
# An outlet with a source identity (250 Hz, leads II and V5 in microvolts) ends; another with the same
# identity starts. Guess before the run: the inlet, with `recover=True` as by default, goes on only if
# the stream is the same, or `info()` says what is new.
# Seen:
#   The second at 500 Hz: its samples come, at 500 a second; `info()` still says 250 Hz.
#   The second with its leads the other way round and in millivolts: its samples come; `info()` still
#     says II, V5 in microvolts. Lead V5 stands in the column of lead II, a thousand times too small.
#   The second with three leads: the inlet waits for ever; nothing is raised, `pull_chunk` returns none.
#
# Why it matters for ECG streams: a device program is restarted with other settings during a recording.
# RR intervals double (a heart rate of 60 is shown as 30), leads change places, or the monitor shows a
# stream that is open and will never bring a sample. Open the inlet with `recover=False`, and after a
# loss resolve the stream, compare rate, leads and units, and make a new inlet.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet pylsl==1.18.6 numpy==1.26.4
export LSLAPICFG="$folder/lsl_api.cfg" # only this machine, and no lines on standard error
printf '[multicast]\nResolveScope = machine\n[log]\nlevel = -3\n' >"$LSLAPICFG"
cat >outlet.py <<'PY'
import sys, time
import numpy as np, pylsl

rate, leads, unit, seconds = float(sys.argv[1]), sys.argv[2].split(","), sys.argv[3], float(sys.argv[4])
info = pylsl.StreamInfo("ecg", "ECG", len(leads), rate, "float32", "strap-1")
info.set_channel_labels(leads)
info.set_channel_units(unit)
outlet, until_s = pylsl.StreamOutlet(info), time.monotonic() + seconds
while time.monotonic() < until_s:  # each lead holds the number of its letters, so leads can be told apart
    outlet.push_chunk(np.tile(np.array([10.0 if one == "II" else 20.0 for one in leads], np.float32), (25, 1)))
    time.sleep(25 / rate)
PY
cat >inlet.py <<'PY'
import subprocess, sys, time
import pylsl


def outlet(*words):
    return subprocess.Popen([sys.executable, "outlet.py", *words], stderr=subprocess.DEVNULL)


def described(info):
    return info.nominal_srate(), info.get_channel_labels(), info.get_channel_units()


def second(*words):
    """Return what is seen of a second outlet: the description then, samples a second, one sample."""
    before = outlet("250", "II,V5", "microvolts", "4")
    inlet = pylsl.StreamInlet(pylsl.resolve_byprop("name", "ecg", 1, 10)[0], 10, 0, True, as_numpy=True)
    assert described(inlet.info(5)) == (250, ["II", "V5"], ["microvolts"] * 2)
    inlet.open_stream(5)
    assert before.wait() == 0
    while len(inlet.pull_chunk(timeout=0.5)[1]):
        pass
    after, count, began_s, sample = outlet(*words, "9"), 0, None, None
    until_s = time.monotonic() + 9
    while time.monotonic() < until_s:
        samples, stamps = inlet.pull_chunk(timeout=0.2)
        if len(stamps):
            began_s = began_s or time.monotonic()
            sample, count, last_s = samples[0].tolist(), count + len(stamps), time.monotonic()
    after.kill()
    after.wait()
    rate = 0.0 if began_s is None else count / (last_s - began_s)
    return described(inlet.info(5)), rate, sample


print("pylsl", pylsl.__version__, "liblsl", pylsl.library_version())
for words in (("500", "II,V5", "microvolts"), ("250", "V5,II", "millivolts"), ("250", "I,II,III", "microvolts")):
    info, rate, sample = second(*words)
    print(f"second outlet {words}: info() says {info}, {rate:.0f} samples a second, one is {sample}")
    assert info == (250, ["II", "V5"], ["microvolts"] * 2), "the description follows now"
    if len(words[1].split(",")) == 3:
        assert sample is None, "three leads come where two were described"
    else:
        assert sample == ([10, 20] if words[1] == "II,V5" else [20, 10]), sample
        assert abs(rate / float(words[0]) - 1) < 0.2, rate
PY
venv/bin/python inlet.py
echo "as described"
