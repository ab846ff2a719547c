"""Whether an endpoint is free to listen on, asked before anything is started; and who holds it.

The stage that listens there finds out too, but only when it has loaded its model; until then its
parent would hear whoever holds the endpoint and take that monitor's messages for its own.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from pathlib import Path

from monitor.errors import EndpointInUse
from monitor.wire.sockets import parse_endpoint, requests_endpoint

LEAVES_S = 1.0  # a stage whose run was killed notices within 0.1 s, when it does not just load
LOOK_AGAIN_S = 0.1
LISTENS = "0A"  # a state in /proc/net/tcp
MAX_COMMAND = 80


def require_free(alerts: str, leaves_s: float = LEAVES_S) -> None:
    """Check the endpoint for alerts and the one for requests.

    Parameters
    ----------
    leaves_s : float
        For how long a process that is just ending is waited for.

    Raises
    ------
    EndpointInUse
        If another process listens on one of them; its text says which process, where the system
        tells (Linux).
    InvalidEndpoint
        If the endpoint is malformed.
    """
    deadline_s = time.monotonic() + leaves_s
    while (refusal := _refusal(alerts)) is not None:
        if time.monotonic() >= deadline_s:
            raise EndpointInUse(refusal)
        time.sleep(LOOK_AGAIN_S)


def holder(endpoint: str) -> str | None:
    """Return who listens on an endpoint, in words; None where nobody does.

    Raises
    ------
    InvalidEndpoint
        If it is malformed.
    """
    parsed = parse_endpoint(endpoint)
    if parsed.path:
        taken, pid = _path_holder(parsed.path)
    else:
        taken = _port_taken(parsed.host, parsed.port)
        pid = _port_holder(parsed.port) if taken else None
    return _who(pid) if taken else None


def _refusal(alerts: str) -> str | None:
    for endpoint, use in ((alerts, "alerts"), (requests_endpoint(alerts), "requests")):
        who = holder(endpoint)
        if who is not None:
            path = parse_endpoint(endpoint).path
            other = f"ipc://{path.removesuffix('.requests')}2" if path else "tcp://127.0.0.1:5671"
            return (
                f"{endpoint}, the address for {use}, is in use by {who}; stop that one, "
                f"or choose another address, for example --alerts {other}"
            )
    return None


def _port_taken(host: str, port: int) -> bool:
    try:
        socket.create_server((host, port), backlog=0).close()  # reuses the address, as ZeroMQ does
    except OSError as error:  # whatever else it is, the stage that listens reports
        return error.errno == errno.EADDRINUSE
    return False


def _path_holder(path: str) -> tuple[bool, int | None]:
    """Return whether a process listens on a path, and which."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:  # nobody, or nothing that could be listened on: the stage reports that
            return False, None
        peer = getattr(socket, "SO_PEERCRED", None)
        if peer is None:
            return True, None
        credentials = probe.getsockopt(socket.SOL_SOCKET, peer, struct.calcsize("3i"))
        return True, struct.unpack("3i", credentials)[0] or None


def _port_holder(port: int) -> int | None:
    """Return the process that listens on a port; None where it is another user's, or unknown."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(OSError):
            for line in Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has gone, or is another user's
            if any(_target(one) in inodes for one in (process / "fd").iterdir()):
                return int(process.name)
    return None


def _target(descriptor: Path) -> str:
    """Return what a descriptor stands for; nothing where it was closed meanwhile."""
    with contextlib.suppress(OSError):
        return str(descriptor.readlink())
    return ""


def _who(pid: int | None) -> str:
    """Return a process in words; for a stage of a run, the run that would start it again."""
    command = _command(pid)
    if pid is not None and "monitor.stages" in command:
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
            pid, command = (parent, _command(parent)) if _command(parent) else (pid, command)
    if pid is None:
        return "another process"
    return f"process {pid}" + (f" ({command[:MAX_COMMAND]})" if command else "")


def _command(pid: int | None) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return b" ".join(words).decode(errors="replace")
    return ""
