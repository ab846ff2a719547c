#!/usr/bin/env bash
# pydicom 3.0.2: `waveform_array` scales what was never recorded: a lead that was off is -163.84 mV, another one -83.46.
#
# A DICOM ECG says in Waveform Padding Value (5400,100A) which number stands where a lead had no input: a lead that came off, or
# one of the 3 x 4 leads of a printout that is recorded for 2.5 of its 10 s. `waveform_array` gives floating-point numbers in the
# unit of each lead. Guess before the run: NaN there, since that is what floats have for it. Seen: the padding is scaled
# as a sample, with each lead's own sensitivity, correction factor and baseline: -32768 becomes -163.84 mV in a lead of 0.005 mV,
# and -83.46 in one of 0.0025 mV with a factor of 1.02 and a baseline of 0.1. No warning; the padding value stays in
# `WaveformSequence`, as bytes. ecgdatakit 2.0.3 gives NaN for the same file.
#
# Why it matters for ECG streams: the number differs from lead to lead, so once it is scaled no one value can be looked for;
# a filter rings for seconds on both sides, and a display's scale and a detector's threshold are those of -164 mV. Take
# `waveform_array`'s raw twin (`multiplex_array(ds, n, as_raw=True)`), compare it with the padding, and set those to NaN.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet pydicom==3.0.2 ecgdatakit==2.0.3 numpy==2.4.6
cat >look.py <<'PY'
import warnings
from importlib.metadata import version

import ecgdatakit
import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid
from pydicom.waveforms import multiplex_array

FS, N, PADDING = 500, 5000, -32768
LEADS = {"Lead II": ("2:2", 0.005, 1.0, 0.0), "Lead V5": ("2:7", 0.0025, 1.02, 0.1)}  # sensitivity, correction, baseline


def coded(value, scheme, meaning):
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, scheme, meaning
    return [code]


counts = np.stack([np.round(100 * np.sin(np.arange(N) / period)) for period in (20, 31)], 1).astype("<i2")
counts[2000:2600] = PADDING

group = Dataset()
group.WaveformOriginality, group.NumberOfWaveformChannels, group.NumberOfWaveformSamples = "ORIGINAL", 2, N
group.SamplingFrequency, group.WaveformBitsAllocated, group.WaveformSampleInterpretation = FS, 16, "SS"
group.ChannelDefinitionSequence = []
for name, (code, sensitivity, correction, baseline) in LEADS.items():
    channel = Dataset()
    channel.ChannelSourceSequence = coded(code, "MDC", name)
    channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor = sensitivity, correction
    channel.ChannelSensitivityUnitsSequence = coded("mV", "UCUM", "millivolt")
    channel.ChannelBaseline, channel.WaveformBitsStored, channel.ChannelSampleSkew = baseline, 16, 0
    group.ChannelDefinitionSequence.append(channel)
group.add_new(0x5400100A, "OW", np.array([PADDING], "<i2").tobytes())
group.add_new(0x54001010, "OW", counts.tobytes())
ecg = Dataset()
ecg.file_meta = FileMetaDataset()
ecg.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
ecg.SOPClassUID = ecg.file_meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
ecg.SOPInstanceUID = ecg.file_meta.MediaStorageSOPInstanceUID = generate_uid()
ecg.PatientName, ecg.PatientID, ecg.Modality, ecg.AcquisitionDateTime = "Example^Ada", "1", "ECG", "20261127102030"
ecg.WaveformSequence = [group]
ecg.save_as("ecg.dcm", enforce_file_format=True)

print("pydicom", pydicom.__version__, "ecgdatakit", version("ecgdatakit"))
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    read = pydicom.dcmread("ecg.dcm")
    millivolts = read.waveform_array(0)
scaled = counts * np.array([lead[1] * lead[2] for lead in LEADS.values()]) + np.array([lead[3] for lead in LEADS.values()])
off = counts[:, 0] == PADDING
print(f"waveform_array where the leads were off: {np.unique(millivolts[off], axis=0).round(2)} mV; {len(told)} warnings")
assert np.allclose(millivolts, scaled), "the padding is no longer scaled"
assert not told and np.allclose(millivolts[off][0], [-163.84, -83.4584])
raw = multiplex_array(read, 0, as_raw=True)
padding = np.frombuffer(read.WaveformSequence[0].WaveformPaddingValue, "<i2")[0]
assert np.array_equal(raw == padding, np.stack([off, off], 1))
by_others = np.stack([lead.to_physical().samples for lead in ecgdatakit.FileParser().parse("ecg.dcm").leads], 1)
print(f"ecgdatakit there: {np.unique(by_others[off])}")
assert np.isnan(by_others[off]).all() and not np.isnan(by_others[~off]).any()
PY
venv/bin/python look.py
echo "as described"
