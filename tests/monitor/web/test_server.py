"""The server as browsers and proxies ask it: pages, headers, refusals, actions, the live socket."""

from __future__ import annotations

import shutil
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.wire.messages import AckRequest, MarkRequest, RelearnRequest, ThresholdRequest
from tests.monitor.ports import free_port
from tests.monitor.web.fake_monitor import FakeMonitor, fake_monitor, high_alert
from tests.monitor.web.page_server import PageServer, page_server, token_file, wait_until

pytest.importorskip("starlette", reason="the extra web is not installed")
pytest.importorskip("uvicorn", reason="the extra web is not installed")
client = pytest.importorskip("websockets.sync.client", reason="the extra web is not installed")


@pytest.fixture(scope="module")
def monitor() -> Iterator[FakeMonitor]:
    with fake_monitor("a", "<b>") as running:
        yield running


@pytest.fixture(scope="module")
def server(monitor: FakeMonitor, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PageServer]:
    folder = tmp_path_factory.mktemp("web")
    token = token_file(folder)
    with page_server(monitor.alerts, monitor.wave, folder, "--token", str(token)) as running:
        wait_until(lambda: running.get("/health")[0] == 200)
        yield running


def received(socket: Any, wanted: str) -> dict[str, Any]:
    """Return the next message of a type."""
    while True:
        message = socket.recv(timeout=20)
        if isinstance(message, str):
            said: dict[str, Any] = msgspec.json.decode(message)
            if said["type"] == wanted:
                return said


def test_the_page_loads_nothing_from_elsewhere(server: PageServer) -> None:
    """All it names is its own, and its policy allows no script in the page, no other origin."""
    status, headers, body = server.get("/")
    assert status == 200
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    text = body.decode()
    assert "://" not in text.replace("tcp://127.0.0.1:5575", "")
    for part in text.split('="/')[1:]:
        assert server.get("/" + part.split('"')[0])[0] == 200


@pytest.mark.parametrize("path", ["/static/../server.py", "/static/%2e%2e/server.py", "/nothing"])
def test_nothing_but_the_page_s_files_is_served(server: PageServer, path: str) -> None:
    """No way leads out of the folder."""
    assert server.get(path)[0] == 404


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"origin": "https://evil.example"}])
def test_other_names_and_other_pages_are_refused(
    server: PageServer, headers: dict[str, str]
) -> None:
    """Of pages, actions and the live socket alike."""
    assert server.get("/", headers)[0] == 421
    assert server.get("/act", headers, b"{}")[0] == 421
    with (
        pytest.raises(Exception, match="403"),
        client.connect(f"ws://127.0.0.1:{server.port}/live", origin="https://evil.example"),
    ):
        pass


def test_a_browser_is_told_of_patients_and_sent_their_signal(server: PageServer) -> None:
    """Tiles first, then the signal of those it looks at, and a page that it opens."""
    with client.connect(f"ws://127.0.0.1:{server.port}/live") as socket:
        first = received(socket, "ward")
        tiles = {tile["name"]: tile for tile in first["tiles"]}
        assert set(tiles) == {"a", "<b>"}
        number = tiles["a"]["id"]
        socket.send(msgspec.json.encode({"type": "looks", "tiles": [number]}).decode())
        while not isinstance(socket.recv(timeout=20), bytes):
            pass
        socket.send(msgspec.json.encode({"type": "looks", "tiles": [], "page": number}).decode())
        assert received(socket, "page")["id"] == number


@pytest.mark.parametrize(
    "message", ["{", '{"type":"looks","tiles":[-1]}', '{"type":"other"}', b"\0\1", "[" * 5000]
)
def test_what_no_browser_of_ours_says_ends_the_connection(
    server: PageServer, message: str | bytes
) -> None:
    """And nothing else: the server goes on."""
    with client.connect(f"ws://127.0.0.1:{server.port}/live") as socket:
        socket.send(message)
        with pytest.raises(Exception, match="1003"):
            received(socket, "nothing of this type")
    assert server.get("/health")[0] == 200


def test_a_browser_that_does_not_read_costs_nothing(server: PageServer) -> None:
    """It is sent no more than fits its socket; others are served meanwhile."""
    with client.connect(f"ws://127.0.0.1:{server.port}/live", max_queue=1) as slow:
        numbers = [tile["id"] for tile in received(slow, "ward")["tiles"]]
        slow.send(msgspec.json.encode({"type": "looks", "tiles": numbers}).decode())
        with client.connect(f"ws://127.0.0.1:{server.port}/live") as quick:
            for _ in range(5):
                received(quick, "ward")


@pytest.mark.parametrize(
    ("action", "request_made"),
    [
        ({"what": "ack"}, AckRequest("a", by="web")),
        ({"what": "ack", "by": "Ada"}, AckRequest("a", by="Ada")),
        ({"what": "threshold", "factor": 1.05}, ThresholdRequest("a", factor=1.05)),
        ({"what": "relearn"}, RelearnRequest("a")),
        (
            {"what": "mark", "family": 3, "word": "normal", "by": "Ada"},
            MarkRequest("a", 3, "normal", by="Ada", journal="j1"),
        ),
    ],
)
def test_who_knows_the_token_acts(
    server: PageServer, monitor: FakeMonitor, action: dict[str, Any], request_made: Any
) -> None:
    """The monitor is asked, and its answer comes back."""
    status, text = server.act(patient="a", **action)
    assert status == 200, text
    assert text
    assert monitor.asked[-1] == request_made


@pytest.mark.parametrize(
    "action",
    [
        {"what": "threshold"},
        {"what": "mark", "word": "normal"},
        {"what": "stop"},
        {"what": "threshold", "factor": 1e9},
        {"what": "ack", "by": "x" * 3000},
    ],
)
def test_what_is_no_action_is_refused(
    server: PageServer, monitor: FakeMonitor, action: dict[str, Any]
) -> None:
    """In words; the monitor is not asked."""
    n_asked = len(monitor.asked)
    status, text = server.act(patient="a", **action)
    assert status == 400
    assert text.startswith("not an action")
    assert len(monitor.asked) == n_asked


def test_without_the_token_nothing_is_done(server: PageServer, monitor: FakeMonitor) -> None:
    """A wrong one, or none."""
    n_asked = len(monitor.asked)
    assert server.act(None, patient="a", what="ack")[0] == 401
    assert server.act("wrong", patient="a", what="ack")[0] == 401
    assert len(monitor.asked) == n_asked


def web(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitor", "web", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_what_cannot_be_served_is_said_in_a_line(server: PageServer, tmp_path: Path) -> None:
    """A port in use, an address open to all, an endpoint that is none, a false certificate."""
    pem = tmp_path / "x.pem"
    pem.write_text("no certificate")
    for options, said in (
        (("--listen", f"127.0.0.1:{server.port}"), "another process has this port"),
        (
            ("--listen", "127.0.0.1:1", "--metrics", f"{server.port}"),
            f"port {server.port} is in use",
        ),
        (("--listen", "192.0.2.1:8571", "--behind-proxy"), "give an address of this machine"),
        (("--listen", "0.0.0.0:8571"), "refused beyond this machine without encryption"),
        (("http://127.0.0.1",), "is not an endpoint"),
        (("--tls-cert", str(pem), "--tls-key", str(pem)), "--tls-cert, --tls-key"),
    ):
        run = web(*options)
        assert run.returncode == 2, run.stderr
        (line,) = run.stderr.splitlines()
        assert said in line


def test_tls_encrypts_page_and_live_socket(monitor: FakeMonitor, tmp_path: Path) -> None:
    """With a certificate and its key the page is https alone, and the live socket wss."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    made = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=localhost", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(made, check=True, capture_output=True)
    trusted = ssl.create_default_context(cafile=cert)
    trusted.check_hostname = False
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    with page_server(monitor.alerts, monitor.wave, tmp_path, *options, tls=trusted) as server:
        assert server.get("/")[0] == 200
        with client.connect(f"wss://127.0.0.1:{server.port}/live", ssl=trusted) as socket:
            wait_until(lambda: "tiles" in received(socket, "ward"))


def test_prometheus_reads_what_the_page_s_server_hears(tmp_path: Path) -> None:
    """The heartbeat, alerts that begin while it listens, browsers; not alerts of before."""
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    port = free_port()

    def scraped() -> list[str]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return list(answer.read().decode().splitlines())

    alerts = 'ecg_monitor_alerts_total{kind="anomalous_beats",priority="high"} 1.0'
    with fake_monitor("a") as monitor:
        monitor.say(high_alert("a"))
        options = ("--metrics", str(port))
        with page_server(monitor.alerts, monitor.wave, tmp_path, *options) as server:
            wait_until(lambda: 'ecg_monitor_patients{state="monitoring"} 0.0' in scraped())
            assert "ecg_monitor_browsers 0.0" in scraped()
            assert not [line for line in scraped() if "ecg_monitor_beats_total" in line]
            assert alerts not in scraped()
            monitor.say(high_alert("a"))
            wait_until(lambda: alerts in scraped())
            with client.connect(f"ws://127.0.0.1:{server.port}/live") as socket:
                received(socket, "ward")
                wait_until(lambda: "ecg_monitor_browsers 1.0" in scraped())
            in_use = web("--metrics", str(port), "--listen", f"127.0.0.1:{free_port()}")
    assert in_use.returncode == 2
    assert in_use.stderr.count("\n") == 1
    assert f"port {port} is in use" in in_use.stderr
