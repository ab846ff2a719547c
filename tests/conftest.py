"""What holds in each test process, and in those that tests start.

One thread: tests run side by side, and threads that wait spin. LSL looks on this machine alone.
"""

from __future__ import annotations

import os
from pathlib import Path

# Before numpy and torch are imported; the processes that tests start inherit it. The tests of
# training take 10 to 16 s so; with two threads, on two cores that others use too, 70 to 280 s.
for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(library, "1")

os.environ["LSLAPICFG"] = str(Path(__file__).with_name("lsl_api.cfg"))
