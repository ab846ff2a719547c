#!/usr/bin/env bash
# pyEDFlib 0.1.42: a unit of "µV" is written as "AuV", and "μV" (the Greek letter) as "I V".
#
# EDF allows ASCII in its header, so a micro sign has to become something. Guess before the run: an error, a "u",
# or a "?". Seen: `setSignalHeaders` takes both signs without a word. U+00B5 becomes the two letters "Au", U+03BC
# becomes "I" and a space: the UTF-8 bytes, one by one, each made ASCII. Its own reader and edfio 0.4.18 then give
# "AuV" and "I V". edfio itself refuses to write either sign (UnicodeEncodeError).
#
# Why it matters for ECG streams: "µV" is what Apple's and many other exports call their unit. A reader that knows
# mV, uV and V finds no voltage in such a file and drops the lead, or takes its numbers for volts or millivolts:
# beats a thousand times too large, or none. Write "uV"; read "AuV" and "I V" as microvolts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet edfio==0.4.18 pyedflib==0.1.42 numpy==1.26.4
venv/bin/python - <<'PY'
import edfio, numpy as np, pyedflib

print("pyedflib", pyedflib.__version__, "edfio", edfio.__version__)
for sign, becomes in (("\u00b5", "AuV"), ("\u03bc", "I V"), ("u", "uV")):
    header = {"label": "ECG II", "dimension": f"{sign}V", "sample_frequency": 250, "physical_max": 5000.0,
              "physical_min": -5000.0, "digital_max": 32767, "digital_min": -32768, "transducer": "", "prefilter": ""}
    with pyedflib.EdfWriter("unit.edf", 1) as writer:
        writer.setSignalHeaders([header])
        writer.writeSamples([np.zeros(2500)])
    with pyedflib.EdfReader("unit.edf") as reader:
        by_itself = reader.getPhysicalDimension(0)
    by_edfio = edfio.read_edf("unit.edf").signals[0].physical_dimension
    print(f"U+{ord(sign):04X} V is written as {by_itself!r}; edfio reads {by_edfio!r}")
    assert by_itself == by_edfio == becomes
    if sign != "u":
        try:
            edfio.EdfSignal(np.arange(2500.0), 250, physical_dimension=f"{sign}V")
            raise SystemExit("edfio writes the sign now")
        except UnicodeEncodeError:
            pass
PY
echo "as described"
