"""Where real records lie beside the checkout, if they do: tests that need them skip without."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
MITDB = DATA / "mitdb"
ECG5000_FOLDER = DATA / "ecg5000"
ECG5000_TRAIN = ECG5000_FOLDER / "ECG5000_TRAIN.txt"
RDSAMP_RECORDS = DATA / "reference" / "rdsamp_records.json"
