"""Web addresses are posted alerts; what they answer says whether to try again."""

from __future__ import annotations

import base64
import email.utils
import json
import ssl
import time
import tracemalloc
from pathlib import Path

import pytest

from monitor.delivery.sinks.credentials import SecretsFile
from monitor.delivery.sinks.http_post import MAX_AFTER_S, MAX_LEFT_BEHIND
from monitor.delivery.sinks.sink import DeliveryFailed, Rejected, SinkOptions
from monitor.delivery.sinks.webhook import Webhook
from monitor.errors import InvalidOption
from tests.messages import alarm, alert
from tests.monitor.delivery.sinks.certificates import self_signed
from tests.monitor.delivery.sinks.web_server import web_server


def test_a_web_address_gets_the_alert_as_it_is() -> None:
    """As the body of a POST, JSON of the alert's schema."""
    with web_server() as server:
        Webhook(f"{server.url}/ok").send(alert(id="aa"))
        (request,) = server.taken()
    assert json.loads(request.body)["id"] == "aa"
    assert request.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "is_refusal"),
    [
        (400, True), (413, True), (422, True),
        (401, False), (403, False), (404, False), (408, False), (429, False),
        (302, False), (500, False), (503, False),
    ],
)  # fmt: skip
def test_an_answer_says_whether_the_alert_is_refused(status: int, is_refusal: bool) -> None:
    """Its content is; credentials, address, load and redirects would hit all alerts alike."""
    with web_server() as server:
        server.status, server.body = status, b'{"error": "no\nsuch channel"}'
        server.headers = {"Location": "/elsewhere"}
        with pytest.raises(DeliveryFailed, match=str(status)) as caught:
            Webhook(server.url + "/x", limit_s=5).send(alert())
        assert server.taken() == []
    assert isinstance(caught.value, Rejected) == is_refusal
    assert caught.value.detail == '{"error": "no such channel"}'


@pytest.mark.parametrize(("mode", "said"), [("silent", "no answer"), ("nonsense", "no proper")])
def test_a_web_address_without_an_answer(mode: str, said: str) -> None:
    """Silence and nonsense are failures, and none blocks."""
    with web_server() as server:
        server.mode = mode
        with pytest.raises(DeliveryFailed, match=said):
            Webhook(server.url, limit_s=0.3).send(alert())


def test_nobody_there_and_no_such_host() -> None:
    """Failures like others."""
    with web_server() as server:
        pass
    with pytest.raises(DeliveryFailed, match="refused"):
        Webhook(server.url, limit_s=5).send(alert())
    with pytest.raises(DeliveryFailed, match=r"resol|known|no answer"):
        Webhook("http://nobody.invalid/x", limit_s=5).send(alert())


def test_a_busy_server_says_for_how_long() -> None:
    """In seconds or as a date; not for longer than five minutes, whatever it says."""
    later = email.utils.formatdate(time.time() + 30, usegmt=True)
    after_s = []
    with web_server() as server:
        server.status = 429
        for text in ("7", later, "999999999999", "soon"):
            server.headers = {"Retry-After": text}
            with pytest.raises(DeliveryFailed) as caught:
                Webhook(server.url).send(alert())
            after_s.append(caught.value.after_s)
    assert after_s[0] == 7
    assert 20 < after_s[1] <= 30
    assert after_s[2:] == [MAX_AFTER_S, 0]


def test_a_huge_answer_is_not_read() -> None:
    """Neither of success nor of failure."""
    with web_server() as server:
        server.mode = "huge"
        tracemalloc.start()
        Webhook(server.url).send(alert())
        server.status = 500
        with pytest.raises(DeliveryFailed) as caught:
            Webhook(server.url).send(alert())
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert len(caught.value.detail) <= 500
    assert peak < 5_000_000


def test_tries_that_are_given_up_do_not_pile_up() -> None:
    """While a server holds so many tries open, a further one fails at once, without a thread."""
    with web_server() as server:
        server.mode = "endless"
        sink = Webhook(server.url, limit_s=0.2)
        for _ in range(MAX_LEFT_BEHIND):
            with pytest.raises(DeliveryFailed, match="no answer"):
                sink.send(alert())
        with pytest.raises(DeliveryFailed, match="still wait for an answer"):
            sink.send(alert())


@pytest.mark.parametrize(
    "url",
    ["", "ftp://x/", "file:///etc/passwd", "http://", "http://a\nb/", "http://[x/", "https://a:x/"],
)
def test_what_is_no_web_address(url: str) -> None:
    """Only http and https, with a host."""
    with pytest.raises(InvalidOption, match="--webhook"):
        Webhook(url)


def test_a_password_in_the_address_is_refused_and_not_shown() -> None:
    """All who see the command line would see it."""
    with pytest.raises(InvalidOption, match="--secrets") as caught:
        Webhook("https://nurse:s3cret@ward.example/x")
    assert "s3cret" not in str(caught.value)


def test_credentials_go_to_their_host_alone(tmp_path: Path) -> None:
    """A token as it is, user and password as Basic."""
    secrets = tmp_path / "secrets.toml"
    secrets.touch(mode=0o600)
    sent = []
    with web_server() as server:
        for text in (
            '["127.0.0.1"]\nauthorization = "Bearer tk"',
            '["127.0.0.1"]\nuser = "nurse"\npassword = "s3cret"',
            '["elsewhere"]\nauthorization = "Bearer tk"',
        ):
            secrets.write_text(text)
            Webhook(server.url, SinkOptions(SecretsFile(secrets))).send(alert())
        sent = [one.headers.get("Authorization") for one in server.taken()]
    basic = base64.b64encode(b"nurse:s3cret").decode()
    assert sent == ["Bearer tk", f"Basic {basic}", None]


def test_https_trusts_whom_the_secrets_name(tmp_path: Path) -> None:
    """And nobody else."""
    certificate, key = self_signed(tmp_path)
    secrets = tmp_path / "secrets.toml"
    secrets.touch(mode=0o600)
    secrets.write_text(f'["127.0.0.1"]\nca = "{certificate}"')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with web_server(context) as server:
        Webhook(server.url, SinkOptions(SecretsFile(secrets))).send(alert())
        with pytest.raises(DeliveryFailed, match="CERTIFICATE_VERIFY_FAILED"):
            Webhook(server.url).send(alert())
        assert len(server.taken()) == 1


def test_ntfy_gets_json_at_its_root() -> None:
    """With the topic of the address, and a priority of its own scale."""
    with web_server() as server:
        Webhook(f"ntfy:{server.url}/ward-7").send(alarm())
        Webhook(f"ntfy:{server.url}/ward-7").send(alarm(state="cleared"))
        first, over = server.taken()
    assert first.path == "/"
    told = json.loads(first.body)
    assert told["topic"] == "ward-7"
    assert told["priority"] == 5
    assert "ASYSTOLE" in told["title"]
    assert json.loads(over.body)["priority"] == 2


@pytest.mark.parametrize("path", ["", "/", "/a/b", "/a b", "/" + "x" * 65])
def test_what_is_no_topic_of_ntfy(path: str) -> None:
    """Refused before anything is sent."""
    with pytest.raises(InvalidOption, match="ntfy"):
        Webhook(f"ntfy:https://ntfy.sh{path}")


def test_a_template_of_ones_own(tmp_path: Path) -> None:
    """A file before the address, whatever its name."""
    path = tmp_path / "my:template.json"
    path.write_text('{"who": "$patient", "how": "$urgency"}')
    with web_server() as server:
        Webhook(f"{path}:{server.url}/x").send(alarm())
        (request,) = server.taken()
    assert json.loads(request.body) == {"who": "119", "how": 5}
    with pytest.raises(InvalidOption, match="slack, ntfy, teams"):
        Webhook("discord:https://host/x")
