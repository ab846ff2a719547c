#!/usr/bin/env bash
# BrainFlow 5.23.0, playback board: a recording of another board, and the end of any recording, are silence.
#
# A recording of the synthetic board (32 rows, 250 Hz, 3 s) is played. Guess before the run: named with a
# master board of another layout it is refused, and behind its end the board says so, or ends.
# Seen:
#   master_board SYNTHETIC: the samples come in real time, to the bit, NaN as NaN, a gap in the recorded
#     timestamps as a pause of its length. Behind the last one nothing comes any more; `is_prepared()` stays
#     true, `get_board_data()` returns no columns and raises nothing.
#   master_board CYTON (24 rows): `prepare_session()` and `start_stream()` succeed, and no sample ever
#     comes; nothing is raised.
#
# Why it matters for ECG streams: a wrong board, a recording that is over and a board out of reach look
# alike, and none looks like an error. Whoever waits for samples waits for ever, and a monitor that shows
# the last heart rate shows it on. Watch the clock: no sample for some seconds is a state of its own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet brainflow==5.23.0 numpy==1.26.4 setuptools==65.5.0
venv/bin/python - <<'PY'
import time
from importlib.metadata import version

import numpy as np
from brainflow.board_shim import BoardIds, BoardShim, BrainFlowInputParams
from brainflow.data_filter import DataFilter

BoardShim.disable_board_logger()
FS, N, TIME_ROW, ECG_ROW = 250, 750, 30, 1
rows = np.zeros((32, N))
rows[0] = np.arange(N) % 256
rows[TIME_ROW] = 1.7e9 + np.arange(N) / FS
rows[TIME_ROW, 400:] += 1.5  # a gap
rows[ECG_ROW] = np.arange(N) / 8
rows[ECG_ROW, 10] = np.nan
DataFilter.write_file(rows, "session.csv", "w")


def played(master, seconds):
    """Return the ECG row, its timestamps, and whether the board still counts as prepared."""
    parameters = BrainFlowInputParams()
    parameters.file, parameters.master_board = "session.csv", master
    board = BoardShim(BoardIds.PLAYBACK_FILE_BOARD, parameters)
    board.prepare_session()
    board.start_stream(45_000)
    time.sleep(seconds)
    data, prepared = board.get_board_data(), board.is_prepared()
    late = board.get_board_data()
    board.release_session()
    assert late.shape[1] == 0
    return data, prepared


print("brainflow", version("brainflow"))
data, prepared = played(BoardIds.SYNTHETIC_BOARD, 9)
steps = np.diff(data[TIME_ROW])
print(f"as the synthetic board: {data.shape[1]} of {N} samples, longest step {steps.max():.2f} s, then silence; prepared: {prepared}")
assert N - 30 <= data.shape[1] <= N and prepared
assert np.array_equal(data[ECG_ROW], rows[ECG_ROW, : data.shape[1]], equal_nan=True)
assert abs(steps.max() - 1.5) < 0.1
data, prepared = played(BoardIds.CYTON_BOARD, 4)
print(f"as a Cyton: {data.shape[1]} samples in 4 s, nothing raised; prepared: {prepared}")
assert data.shape[1] == 0 and prepared, "it is refused now"
PY
echo "as described"
