#!/usr/bin/env bash
# vitaldb 1.7.2: a saved file has -163.84 mV where the recording had a gap; blocks of 0.1 s are read with holes between them.
#
# A .vital file (VitalRecorder, the VitalDB archive) has a lead as blocks, each with its time and its samples: real numbers, or
# the monitor's 16-bit counts with a gain. What lies between blocks is missing.
#   Gaps. `to_vital(packed=True)`, as by default, joins a lead's blocks and fills what was missing with the lowest count, -32768.
#     Guess before the run: the reader knows that number, and gives NaN, as it does before the file is saved. Seen: a lead of
#     counts with a gain of 0.005 mV, 6 s in two stretches 7 s apart: 3,500 samples are NaN; once read and saved again none is,
#     and all of them are -163.84 mV. With `packed=False` they stay NaN.
#   Borders. `to_numpy` lays a block at ceil((block's time - start) * rate). The times are doubles of a Unix time, of which one
#     is 2.4e-7 s, so the product is often above the whole number by as much as it is below. Guess: the nearest sample.
#     Seen: of a minute at 500 Hz in blocks of 0.1 s, without any gap, 240 of 600 blocks lie one sample late: 240 samples are
#     overwritten by the next block and gone, 240 others NaN, and 11,760 stand 2 ms late. Of blocks of 0.2 s 60 of 300 do. Of
#     blocks of whole seconds, or halves, none; nor of a packed file, which rounds.
#
# Why it matters for ECG streams: electrodes are off in every long recording. A copy that was only cut, renamed or anonymised
# ends in leads that fall to the rail: a filter rings for seconds, scales and thresholds are those of the rail, and a detector
# that bridges NaN sees an artifact instead. And a file of a recorder that writes small blocks has a hole in every few hundred ms
# that no device made. Save with `packed=False`; round the blocks' places oneself, from `trks[name].recs`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet vitaldb==1.7.2 numpy==2.4.6 wfdb==4.3.1 pandas==3.1.1
venv/bin/python - <<'PY'
from importlib.metadata import version

import numpy as np
import vitaldb
from vitaldb.utils import Device, Track

FS, START, SHORT = 500, 1_700_000_000.0, 5
LEAD = "BED/ECG_II"


def read(path):
    return vitaldb.VitalFile(path).to_numpy([LEAD], 1 / FS)[:, 0]


print("vitaldb", version("vitaldb"))
# A recorder's file: counts of 0.005 mV, three seconds, seven without samples, three more.
counts = np.round(200 * np.sin(2 * np.pi * np.arange(FS) / FS)).astype("<i2")
file = vitaldb.VitalFile()
file.devs["BED"] = Device("BED")
blocks = [{"dt": START + second, "val": counts} for second in (0, 1, 2, 10, 11, 12)]
file.trks[LEAD] = Track("ECG_II", 1, fmt=SHORT, srate=FS, unit="mV", gain=0.005, dname="BED", recs=blocks)
file.dtstart, file.dtend = START, START + 13
file.to_vital("recorded.vital", packed=False)
once = read("recorded.vital")
again = vitaldb.VitalFile("recorded.vital")
again.to_vital("copy.vital")
copy = read("copy.vital")
print(f"as recorded: {np.isnan(once).sum()} samples missing, {np.nanmin(once):.2f} to {np.nanmax(once):.2f} mV; "
      f"a copy by to_vital: {np.isnan(copy).sum()} missing, {copy.min():.2f} to {copy.max():.2f} mV")
assert np.isnan(once).sum() == 7 * FS and np.nanmin(once) == -1
assert not np.isnan(copy).any() and np.allclose(copy[np.isnan(once)], -163.84), "the gap is missing samples again"
again.to_vital("plain.vital", packed=False)
assert np.array_equal(read("plain.vital"), once, equal_nan=True)

ramp = np.arange(60 * FS, dtype=np.float32)  # each sample tells where it belongs
for block_s in (0.1, 0.2, 0.5, 1.0):
    n = round(block_s * FS)
    file = vitaldb.VitalFile()
    file.add_track(LEAD, [{"dt": START + at / FS, "val": ramp[at : at + n]} for at in range(0, len(ramp), n)], srate=FS, unit="mV")
    file.dtstart, file.dtend = START, START + 60
    file.to_vital("blocks.vital", packed=False)
    samples = read("blocks.vital")
    there = ~np.isnan(samples)
    lost, late = len(ramp) - there.sum(), (samples[there] != ramp[there]).sum()
    print(f"blocks of {block_s} s: {lost} samples NaN, {len(np.setdiff1d(ramp, samples))} gone, {late} elsewhere than recorded")
    assert len(samples) == len(ramp)
    assert np.array_equal(samples[there][samples[there] != ramp[there]], (ramp[there] - 1)[samples[there] != ramp[there]])
    if block_s < 0.5:
        assert lost > 30 and len(np.setdiff1d(ramp, samples)) == lost, "the blocks lie where they belong"
    else:
        assert lost == late == 0
    file.to_vital("packed.vital")
    assert np.array_equal(read("packed.vital"), ramp)
PY
echo "as described"
