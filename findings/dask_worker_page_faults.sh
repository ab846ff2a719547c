#!/usr/bin/env bash
# distributed 2026.8.0 with glibc and numpy 2.4.6: in a Dask worker each array of some hundred KB costs its page faults anew;
# and the process that made a LocalCluster, and all it starts later, are left in the same state.
#
# The nanny sets MALLOC_TRIM_THRESHOLD_=65536 (`distributed.nanny.pre-spawn-environ`). glibc lets its limit, above which a
# block is mapped from the system and given back when freed, rise to what a program frees; any setting of its own turns that
# off, and this one also gives back what is free at the heap's end. Guess before the run: a worker that frees and takes
# arrays of one size over and over keeps their pages, as a plain process does. Seen: 100 arrays of 1 MB, one after the
# other, cost under 1,000 page faults in a plain process that once freed a larger one, and over 25,000 in a worker.
# The nanny writes its variables into `os.environ` of the process that it runs in: with a LocalCluster that is the
# program's own. Guess: they are gone with the cluster. Seen: MALLOC_TRIM_THRESHOLD_, OMP_NUM_THREADS=1 and a fixed
# PYTHONHASHSEED stay, and a child started after the cluster was closed has 25,000 faults, too.
#
# Why it matters for ECG streams: records are read and filtered in blocks of some hundred KB to some MB, thousands of times a
# record. The faults are system time of each block (a quarter of the time of a record's segmenting was seen); and a notebook
# that used a cluster runs everything after it so, with one thread. Leave the variable out of the setting and restore the
# environment afterwards.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet distributed==2026.8.0 dask==2026.8.0 numpy==2.4.6
cat >arrays.py <<'PY'
import resource

import numpy as np


def faults():
    """Return the page faults of 100 arrays of 1 MB, made and let go one after the other."""
    np.empty(1 << 22, np.uint8)  # once, a larger one: glibc's limit rises to it
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(1 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


if __name__ == "__main__":
    print(faults())
PY
cat >seen.py <<'PY'
import os
import subprocess
import sys

import distributed
import numpy as np
from arrays import faults
from distributed import Client, LocalCluster

LEFT = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "PYTHONHASHSEED")


def of_a_child():
    return int(subprocess.run([sys.executable, "arrays.py"], capture_output=True, check=True).stdout)


if __name__ == "__main__":
    print("distributed", distributed.__version__, "numpy", np.__version__)
    before = {name: os.environ.get(name) for name in LEFT}
    plain = of_a_child()
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        in_worker = client.submit(faults).result()
    after = {name: os.environ.get(name) for name in LEFT}
    later = of_a_child()
    print("page faults in a plain process:", plain)
    print("in a worker:", in_worker)
    print("environment before the cluster:", before)
    print("after it was closed:", after)
    print("page faults in a child started then:", later)
    assert before == dict.fromkeys(LEFT)
    assert plain < 1000 < 25_000 < in_worker
    assert None not in after.values()
    assert later > 25_000
PY
env -u MALLOC_TRIM_THRESHOLD_ -u OMP_NUM_THREADS -u PYTHONHASHSEED venv/bin/python seen.py 2>log
echo "as described"
