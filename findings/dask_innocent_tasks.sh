#!/usr/bin/env bash
# distributed 2026.8.0: a task that never ran fails as one over which "workers died while trying to run it"; and the
# Executor of a Client runs again what was done and fetched, when the worker that did it dies.
#
# A death is counted against every task in `WorkerState.processing`, that is also against those that only wait at the worker;
# after `allowed-failures` + 1 deaths all of them are KilledWorker. Guess before the run: the task at work is blamed alone
# where the others had not begun. Seen: with one worker, a task that kills it and one that waits behind it both end as
# KilledWorker, and the second has not run once (where it comes first in a new worker it is done; the script tries until it
# has seen it).
# `Client.get_executor()`: a `concurrent.futures.Future` keeps the Dask future in a callback for as long as it lives, so its
# key stays wanted after `result()`. Guess: a result that was fetched is let go. Seen: when the worker dies all tasks whose
# futures still live are run again.
#
# Why it matters for ECG streams: records are tasks of minutes, of very unequal memory. One that is too large for its worker
# takes others with it, which are then reported as unreadable; and in an archive of thousands each death does the worker's
# whole night again. Count what began by oneself (`log_event`), and let go of each future once its result is there.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip --disable-pip-version-check install --quiet distributed==2026.8.0 dask==2026.8.0
cat >seen.py <<'PY'
import os
import signal
import time
from concurrent.futures import as_completed
from pathlib import Path

import dask
import distributed
from distributed import Client, LocalCluster
from distributed.scheduler import KilledWorker


def noted(name, text):
    with open(name, "a") as file:
        file.write(text)
    return len(Path(name).read_text())


def kills(name):
    noted(name, "x")
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)


def kills_once(name):
    if noted(name, "x") == 1:
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGKILL)


def harmless(name):
    return noted(name, "x")


def innocents(turn):
    """Return how often the harmless task ran, and how it ended."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        executor = client.get_executor(pure=False)
        bad, good = executor.submit(kills, f"bad{turn}"), executor.submit(harmless, f"good{turn}")
        bad.exception()
        error = good.exception()
    ran = Path(f"good{turn}")
    return len(ran.read_text()) if ran.exists() else 0, error


def done_again():
    """Return how often tasks ran whose results had been fetched when their worker died."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        executor = client.get_executor(pure=False)
        names = [f"done{n}" for n in range(5)]
        futures = [executor.submit(harmless, name) for name in names]
        assert [future.result() for future in futures] == [1] * 5
        executor.submit(kills_once, "once").result()
        time.sleep(2)
    return [len(Path(name).read_text()) for name in names]


if __name__ == "__main__":
    print("distributed", distributed.__version__)
    dask.config.set({"distributed.scheduler.allowed-failures": 2, "logging.distributed": "critical"})
    again = done_again()
    print("runs of tasks that were done and fetched before their worker died:", again)
    assert min(again) > 1
    for turn in range(12):
        ran, error = innocents(turn)
        print(f"harmless task, try {turn + 1}: ran {ran} times, ended with {type(error).__name__}")
        if isinstance(error, KilledWorker):
            assert ran == 0
            break
    else:
        raise SystemExit("a task that waits behind a killer is done now")
PY
venv/bin/python seen.py 2>log
echo "as described"
