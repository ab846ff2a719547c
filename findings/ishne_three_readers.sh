#!/usr/bin/env bash
# ISHNE Holter files: three packages read "no signal" as -164 mV, and one of them reads 10:20:30 as 10:00:20.
#
# ishneholterlib 2020.5.29, ishne-to-csv 1.2 and ecgdatakit 2.0.3 read one file: two leads, 180 Hz, ten seconds from 10:20:30,
# amplitude resolutions of 5,000 and 2,500 nV, with the value for a lead fault, -32768, from 5.0 to 5.6 s. Guess before the
# run: all three give mV, NaN for the fault, and one start.
# Seen:
#   The fault is a sample in all: -163.84 and -81.92 mV (ishneholterlib, ecgdatakit's `to_physical()`), or -32768. ecgdatakit
#     counts them (`raw_metadata["lead_fault_samples"]`), and leaves them in.
#   ishne-to-csv takes the start for three single bytes and not three words of two: 10:20:30 becomes hour 10, minute 0, second
#     20, in its JSON and in every time of its table. Any start becomes one at minute 0. It passes over the resolutions and the
#     leads' names: its columns are counts, of a lead each with a unit of its own, called Lead_1 and Lead_2.
#
# Why it matters for ECG streams: in 24 hours of Holter electrodes come off. A fault that is -164 mV is the largest deflection of
# the day, in each filter and each scale; and alarms up to an hour early do not meet the patient's diary, the nurse's notes,
# or the other recorder. Make what is -32768 missing before the resolution is applied, and compare the start with the file's.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet \
  ishneholterlib==2020.5.29 ishne-to-csv==1.2 ecgdatakit==2.0.3 numpy==1.26.4 pandas==2.2.3
cat >look.py <<'PY'
import binascii
import datetime
import json
import struct
from importlib.metadata import version

import ecgdatakit
import ishneholterlib
import numpy as np
from ishne_to_csv import read_ishne

FS, N, ABSENT = 180, 1800, [-9] * 10
NANOVOLTS = (5000, 2500)
FAULT = slice(900, 1000)
leads = np.stack([np.round(100 * np.sin(np.arange(N) / period)) for period in (20, 31)]).astype("<i2")
leads[:, FAULT] = -32768
header = struct.pack("<iiiih40s40s20shh", 0, N, 522, 522, 1, b"Ada", b"Example", b"1", 2, 0)
header += struct.pack("<9h3h", 1, 2, 1960, 27, 11, 2026, 27, 11, 2026, 10, 20, 30)  # birth, recorded, written; the start
header += struct.pack("<h12h12h12h", 2, 6, 15, *ABSENT, 1, 1, *ABSENT, *NANOVOLTS, *ABSENT)  # leads II and V5
header += struct.pack("<h40sh80s80s88s", 0, b"digital", FS, b"", b"", b"")
with open("holter.ecg", "wb") as file:
    file.write(b"ISHNE1.0" + struct.pack("<H", binascii.crc_hqx(header, 0xFFFF)) + header + leads.T.tobytes())
millivolts = leads * np.array(NANOVOLTS)[:, None] / 1e6

print(*(f"{name} {version(name)}" for name in ("ishneholterlib", "ishne-to-csv", "ecgdatakit")))
holter = ishneholterlib.Holter("holter.ecg")
holter.load_data()
read = np.stack([lead.data for lead in holter.lead])
print(f"ishneholterlib: starts at {holter.start_time}, the fault is {np.unique(read[:, FAULT])} mV")
assert holter.start_time == datetime.time(10, 20, 30) and np.allclose(read, millivolts)

record = ecgdatakit.FileParser().parse("holter.ecg")
read = np.stack([lead.to_physical().samples for lead in record.leads])
unit = record.leads[0].to_physical().units
print(f"ecgdatakit: starts at {record.recording.date.time()}, the fault is {np.unique(read[:, FAULT])} {unit}, "
      f"{record.raw_metadata['lead_fault_samples']} faults counted")
assert record.recording.date.time() == datetime.time(10, 20, 30)
assert unit == "uV" and np.allclose(read, millivolts * 1000) or unit == "mV" and np.allclose(read, millivolts)

table = read_ishne("holter.ecg", verbose=False, metadata_file="holter.json")
start = datetime.datetime.fromtimestamp(table["time"][0] / 1e9, datetime.timezone.utc)
with open("holter.json") as file:
    told = json.load(file)["Start Time"]
print(f"ishne-to-csv: starts at {told} ({start:%H:%M:%S} in the table), columns {list(table.columns[1:])}, the fault is "
      f"{np.unique(table.iloc[FAULT, 1:])}")
assert told == f"{start:%H:%M:%S}" == "10:00:20", "the start has changed"
assert np.array_equal(table.iloc[:, 1:].to_numpy().T, leads), "the columns are no counts any more"
PY
TZ=UTC venv/bin/python look.py
echo "as described"
