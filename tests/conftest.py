"""One thread for each test process: tests run side by side, and threads that wait spin."""

from __future__ import annotations

import os

# Before numpy and torch are imported; the processes that tests start inherit it. The tests of
# training take 10 to 16 s so; with two threads, on two cores that others use too, 70 to 280 s.
for library in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(library, "1")
