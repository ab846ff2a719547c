#!/usr/bin/env bash
# edfio 0.4.18 and pyEDFlib 0.1.42 on a discontinuous file (EDF+D): one joins its parts, one refuses it.
#
# The file holds 20 s of signal, a pause of 10 s, and 30 s more: 50 data records of a second, each of which
# says in its annotations when it begins (0 to 19 s, 30 to 59 s), as EDF+ demands. A ramp shows what lies where.
# Guess before the run: a reader that knows `EDF+D` puts a gap between the parts, or says that there is one.
# Seen:
#   edfio: a signal of 50 s without a gap, `duration` 50.0, no warning. What was recorded at 30 s stands at 20 s.
#     `is_continuous` is False; the onsets of the data records are not to be had from its public names.
#   pyEDFlib: "The file is discontinuous and cannot be read". Of EDF+C both give the same bits.
#   And of memory: edfio reads the whole of a BDF file at once, one of 10.8 MB with a peak of 83 MB; of EDF files it
#     maps the file.
#
# Why it matters for ECG streams: Holters and long-term monitors write EDF+D where the electrodes were off. Read
# with edfio, two beats that lie 10 s apart become neighbours: a pause of ten seconds becomes a premature beat,
# every time behind it is 10 s early, and annotations (whose onsets are true times) no longer fit the signal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet edfio==0.4.18 pyedflib==0.1.42 numpy==1.26.4
venv/bin/python - <<'PY'
import tracemalloc, warnings
import edfio, numpy as np, pyedflib

FS = 250
ramp = np.arange(60 * FS, dtype=np.int16)
signal = edfio.EdfSignal.from_digital(ramp, FS, label="ECG II", physical_dimension="uV")
edfio.Edf([signal], annotations=[], data_record_duration=1).write("whole.edf")
content = open("whole.edf", "rb").read()
header, record = bytearray(content[:768]), (len(content) - 768) // 60
records = [content[768 + n * record : 768 + (n + 1) * record] for n in range(60)]
header[192:197], header[236:244] = b"EDF+D", b"50".ljust(8)
open("holes.edf", "wb").write(bytes(header) + b"".join(records[:20] + records[30:]))
begins = [float(one[2 * FS :].split(b"\x14")[0]) for one in records[:20] + records[30:]]
assert begins == [*range(20), *range(30, 60)], "the file does not say what it is meant to"

print("edfio", edfio.__version__, "pyedflib", pyedflib.__version__)
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    read = edfio.read_edf("holes.edf")
    digital = read.signals[0].digital
print(f"edfio: {len(digital) / FS:g} s, duration {read.duration:g}, {len(told)} warnings; the sample at 20 s was "
      f"recorded at {digital[20 * FS] / FS:g} s")
assert len(digital) == 50 * FS and read.duration == 50 and not told and not read.is_continuous
assert digital[20 * FS] == 30 * FS
try:
    pyedflib.EdfReader("holes.edf")
    raise SystemExit("pyEDFlib reads the file now")
except OSError as error:
    print(f"pyEDFlib: {error}")
    assert "discontinuous" in str(error)
reader = pyedflib.EdfReader("whole.edf")
assert np.array_equal(reader.readSignal(0), edfio.read_edf("whole.edf").signals[0].data)
reader.close()

leads = [edfio.BdfSignal(np.zeros(FS * 7200), FS, label=name, physical_dimension="uV",
                         physical_range=(-4000, 4000), digital_range=(-8388608, 8388607)) for name in ("I", "II")]
edfio.Bdf(leads, data_record_duration=1).write("long.bdf")
size = len(open("long.bdf", "rb").read())
tracemalloc.start()
edfio.read_bdf("long.bdf")
peak = tracemalloc.get_traced_memory()[1]
print(f"edfio: a BDF file of {size / 1e6:.1f} MB is read with a peak of {peak / 1e6:.0f} MB")
assert peak > 6 * size
PY
echo "as described"
