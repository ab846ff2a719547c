"""An LSL outlet in a process of its own, led by lines of JSON on its standard input.

python -m tests.monitor.sources.lsl_outlet '{"name": …, "rate": …, "labels": …, "units": …, …}'
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[3]


class OutletProcess:
    """One outlet, as a device's program has it.

    Parameters
    ----------
    described : values
        name, type, rate, labels, units, number (float32, int16, …), source_id, and `began_s`.

    Attributes
    ----------
    began_s : float
        What timestamps count from, on LSL's clock; one that is started again goes on with it.
    """

    def __init__(self, **described: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.monitor.sources.lsl_outlet", json.dumps(described)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=ROOT,
        )
        self.began_s = self._answer()  # it is there

    def push(self, samples: NDArray[Any], stamp_s: float) -> None:
        """Push samples, (leads, n); `stamp_s` is the first one's time since the first push."""
        self._tell({"samples": samples.T.tolist(), "stamp_s": stamp_s})

    def wait_for_consumer(self) -> None:
        """Wait until somebody listens."""
        self._tell({"wait": True})

    def kill(self) -> None:
        """End the process, as a crash would."""
        self._process.kill()
        self._process.communicate()

    def _tell(self, command: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())


def main(text: str) -> None:
    """Be the outlet."""
    import pylsl

    told = json.loads(text)
    number, labels = told.get("number", "float32"), told["labels"]
    info = pylsl.StreamInfo(
        told["name"], told.get("type", "ECG"), len(labels), told["rate"], number, told["source_id"]
    )
    if any(labels):
        info.set_channel_labels(labels)
    if told.get("units"):
        info.set_channel_units(told["units"])
    outlet = pylsl.StreamOutlet(info, max_buffered=360)
    began_s = told.get("began_s") or pylsl.local_clock()
    _done(began_s)
    for line in sys.stdin:
        command = json.loads(line)
        if "wait" in command:
            outlet.wait_for_consumers(10)
        else:
            kind = np.float32 if number == "float32" else np.dtype(number)
            samples = np.array(command["samples"]).astype(kind)
            last_s = began_s + command["stamp_s"] + (len(samples) - 1) / told["rate"]
            outlet.push_chunk(samples, last_s)
        _done()


def _done(value: float = 0.0) -> None:
    sys.stdout.write(f"{value!r}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
