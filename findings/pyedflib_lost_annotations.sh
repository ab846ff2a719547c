#!/usr/bin/env bash
# pyEDFlib 0.1.42: of beats written as annotations, only as many are kept as the recording has seconds, and no call says so.
#
# EDF+ has annotations beside the samples of each data record, any number that fits. Beats, one annotation each, are written
# with `writeAnnotation`. Guess before the run: all are there, or a call fails once there is no room. Seen: the writer has room
# for one annotation of 40 bytes in a data record, of one second by default. At 90 a minute a minute has 90 beats; each of the
# 90 calls returns 0, which is success, the file closes, and 60 are in it: the first 60, so the last 20 s have signal and no
# beat. At 150 a minute the last 36 s have none. `highlevel.write_edf` returns True and loses the same ones. At 60 a minute
# nothing is lost. Texts are cut at 40 bytes, also in the middle, without a word: "rhythm: ventricular tachycardia, 5 beats, 182
# a minute" ends with "5 beats".
# `set_number_of_annotation_signals(3)` before the first sample makes room for three a second. edfio 0.4.18 writes all of them.
#
# Why it matters for ECG streams: a resting adult's file is whole, so tests pass; a child's, or a tachycardia's, ends in
# minutes without beats. Read back, the end of the recording is an asystole, or all beats there are missed ones. What is lost
# is always the end, where a monitor's alarm is. Give as many annotation signals as a second can have beats and marks, or write
# with edfio.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet pyedflib==0.1.42 edfio==0.4.18 numpy==2.4.6
venv/bin/python - <<'PY'
import edfio
import numpy as np
import pyedflib
from pyedflib import highlevel

FS, SECONDS = 250, 60
LEAD = {"label": "ECG II", "dimension": "uV", "sample_frequency": FS, "physical_max": 5000.0, "physical_min": -5000.0,
        "digital_max": 32767, "digital_min": -32768, "transducer": "", "prefilter": ""}
samples = np.zeros((1, SECONDS * FS))


def written(annotations, rooms=None):
    """Return what the calls gave, and what two readers find in the file."""
    with pyedflib.EdfWriter("beats.edf", 1) as writer:
        writer.setSignalHeaders([LEAD])
        if rooms:
            writer.set_number_of_annotation_signals(rooms)
        writer.writeSamples(list(samples))
        said = {writer.writeAnnotation(onset_s, -1, text) for onset_s, text in annotations}
    return said, *found("beats.edf")


def found(path):
    with pyedflib.EdfReader(path) as reader:
        onsets, _, texts = reader.readAnnotations()
    assert len(edfio.read_edf(path).annotations) == len(onsets), "the two readers disagree"
    return onsets, texts


print("pyedflib", pyedflib.__version__, "edfio", edfio.__version__)
for rate in (60, 90, 150):
    beats = [(onset_s, "N") for onset_s in np.arange(0.2, SECONDS, 60 / rate)]
    said, onsets, _ = written(beats)
    print(f"{rate} a minute: {len(beats)} beats, the calls returned {said}; {len(onsets)} in the file, the last at {onsets[-1]:.1f} s")
    assert said == {0} and len(onsets) == SECONDS, "the beats are kept, or the calls say that they are not"
    assert len(written(beats, rooms=3)[1]) == len(beats)
    header = highlevel.make_header() | {"annotations": [[onset_s, -1, text] for onset_s, text in beats]}
    assert highlevel.write_edf("beats.edf", samples, [LEAD], header) is True and len(found("beats.edf")[0]) == SECONDS
    lead = edfio.EdfSignal(samples[0], FS, label="ECG II", physical_dimension="uV", physical_range=(-5000, 5000))
    edfio.Edf([lead], annotations=[edfio.EdfAnnotation(onset_s, None, text) for onset_s, text in beats]).write("by_edfio.edf")
    assert len(found("by_edfio.edf")[0]) == len(beats)
text = "rhythm: ventricular tachycardia, 5 beats, 182 a minute"
said, _, texts = written([(1.0, text)])
print(f"{text!r} is {str(texts[0])!r}; the call returned {said}")
assert said == {0} and texts[0] == text[:40]
PY
echo "as described"
