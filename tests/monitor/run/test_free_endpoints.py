"""Endpoints that another process holds are found at once, and who holds them is named."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from monitor.errors import EndpointInUse, InvalidEndpoint
from monitor.run.free_endpoints import require_free
from monitor.wire.sockets import Sockets
from tests.monitor.ports import free_port


@pytest.mark.parametrize(("beside", "use"), [(0, "alerts"), (1, "requests")])
def test_a_port_in_use_is_named_with_its_holder(beside: int, use: str) -> None:
    """The port for alerts and the one for requests; what to do is said."""
    port = free_port()
    with Sockets() as sockets:
        sockets.publish(f"tcp://127.0.0.1:{port + beside}")
        with pytest.raises(EndpointInUse, match=f"the address for {use}, is in use") as raised:
            require_free(f"tcp://127.0.0.1:{port}", leaves_s=0.0)
    assert f":{port + beside}," in str(raised.value)
    assert "stop that one, or choose another address, for example --alerts" in str(raised.value)
    if Path("/proc/net/tcp").exists():
        assert f"process {os.getpid()} (" in str(raised.value)


def test_a_path_in_use_is_named_with_its_holder(tmp_path: Path) -> None:
    """A second bind would silently take it over."""
    with Sockets() as sockets:
        sockets.publish(f"ipc://{tmp_path}/a")
        with pytest.raises(EndpointInUse, match="in use by") as raised:
            require_free(f"ipc://{tmp_path}/a", leaves_s=0.0)
    if hasattr(socket, "SO_PEERCRED"):
        assert f"process {os.getpid()} (" in str(raised.value)


def test_a_process_that_is_just_ending_is_waited_for(tmp_path: Path) -> None:
    """A stage of a run that was killed a moment ago."""
    with socket.socket(socket.AF_UNIX) as ending:
        ending.bind(str(tmp_path / "a"))
        ending.listen(64)
        threading.Timer(0.3, ending.close).start()
        require_free(f"ipc://{tmp_path}/a", leaves_s=10.0)


def test_what_is_free_stays_free(tmp_path: Path) -> None:
    """The look leaves nothing behind; nor does a process that was killed hold a path."""
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind(str(tmp_path / "a"))
    tcp = f"tcp://127.0.0.1:{free_port()}"
    for endpoint in (tcp, f"ipc://{tmp_path}/a", f"ipc://{tmp_path}/b"):
        require_free(endpoint)
        with Sockets() as sockets:
            sockets.publish(endpoint)
    require_free(tcp)


def test_what_the_stage_reports_better_is_left_to_it() -> None:
    """An address that is not this machine's, a name that nobody knows."""
    require_free("tcp://192.0.2.1:5571")
    require_free("tcp://nowhere.invalid:5571")
    with pytest.raises(InvalidEndpoint):
        require_free("tcp://127.0.0.1:99999")
