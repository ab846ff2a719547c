"""MQTT against a real mosquitto: rights, TLS, the status that is kept, what is not lost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from monitor.delivery.delivery import Delivery
from monitor.delivery.sinks.credentials import SecretsFile
from monitor.delivery.sinks.mqtt import Mqtt, level, parse_topic
from monitor.delivery.sinks.sink import DeliveryFailed, Rejected, Route, SinkOptions
from monitor.errors import InvalidOption
from tests.messages import alert, technical
from tests.monitor.delivery.sinks.broker import broker, program, reader
from tests.monitor.delivery.sinks.certificates import self_signed
from tests.monitor.ports import free_port


def secrets(folder: Path, text: str) -> SinkOptions:
    path = folder / "secrets.toml"
    path.touch(mode=0o600)
    path.write_text(f'["127.0.0.1"]\n{text}\n')
    return SinkOptions(SecretsFile(path), session="ward-desk")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("mqtt://host", "topic"),
        ("mqtt://host/", "topic"),
        ("mqtt://host/a/#", "no #"),
        ("mqtt://host/a#b", "no #"),
        ("mqtt://host/a/+/b", "no #"),
        ("mqtt://host/%23", "no #"),
        ("mqtt://host/$SYS/a", r"no \$"),
        ("mqtt://host/a%00b", "no text"),
        ("mqtt://host/" + "a" * 1001, "longer"),
        ("mqtt://host/a?qos=2", "client and retain"),
        ("mqtt://host/a?retain=1&retain=0", "once"),
        ("mqtt://host/a?retain=yes", "0 or 1"),
        ("mqtt://host/a?retain", "write mqtt"),
        ("mqtt://host:port/a", "write mqtt"),
        ("http://host/a", "no mqtt"),
        ("mqtt:///a", "no mqtt"),
        ("", "no mqtt"),
        ("mqtt://nurse:s3cret@host/a", "--secrets"),
    ],
)
def test_what_is_no_topic_to_publish(url: str, said: str) -> None:
    """Refused at the start; no password is shown."""
    with pytest.raises(InvalidOption, match=said) as caught:
        parse_topic(url)
    assert "s3cret" not in str(caught.value)


def test_a_place() -> None:
    """Host, port, topic."""
    assert parse_topic("mqtt://h:1/a/b%20c/") == ("h", 1, False, "a/b c", "", False)
    assert parse_topic("mqtts://h/a?client=me&retain=1") == ("h", 8883, True, "a", "me", True)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything starts."""
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(InvalidOption, match=r"pip install 'ecg-monitor\[mqtt\]'"):
        Mqtt("mqtt://host/a")


def test_a_patient_is_one_level_of_the_topic() -> None:
    """Whatever the name holds; no two names are one level."""
    names = ["119", "a/b", "a%2Fb", "+", "#", "Müller 7"]
    levels = [level(name) for name in names]
    assert levels == ["119", "a%2Fb", "a%252Fb", "%2B", "%23", "Müller 7"]


def test_alerts_have_topics_by_kind_and_patient(tmp_path: Path) -> None:
    """With QoS 1, not retained: an alert is news."""
    with broker(tmp_path) as running, reader(running.port) as reading:
        sink = Mqtt(f"{running.url}/hospital/ward-7")
        sink.send(alert(patient="a/b", id="x"))
        sink.send(technical())
        first, second = reading.next(), reading.next()
        sink.close()
    assert (first.topic, first.retained) == ("hospital/ward-7/alert/a%2Fb", False)
    assert json.loads(first.payload)["id"] == "x"
    assert second.topic == "hospital/ward-7/technical/119"


def test_the_status_is_kept_and_tells_of_a_death(tmp_path: Path) -> None:
    """Who comes later hears it at once; the broker itself says offline of who was killed."""
    with broker(tmp_path) as running, reader(running.port) as reading:
        sink = Mqtt(f"{running.url}/w?retain=1")
        sink.send(alert())
        assert reading.next()[:2] == ("w/status", b'{"state": "online"}')
        reading.next()
        with reader(running.port) as late:
            assert late.next() == ("w/status", b'{"state": "online"}', True)
        sink.close()
        assert reading.next()[:2] == ("w/status", b'{"state": "offline"}')
        killed = Mqtt(f"{running.url}/w?retain=1")
        killed.send(alert())
        assert reading.next().payload == b'{"state": "online"}'
        reading.next()
        assert killed._client is not None
        socket: Any = killed._client.socket()
        killed._client.reconnect_delay_set(100, 100)
        socket.shutdown(2)  # as when the process dies: no farewell
        assert reading.next()[:2] == ("w/status", b'{"state": "offline"}')
        killed.close()


def test_the_status_is_there_before_any_alert(tmp_path: Path) -> None:
    """And again when the broker was away."""
    with broker(tmp_path) as running, reader(running.port) as reading:
        sink = Mqtt(f"{running.url}/w?retain=1", limit_s=2)
        delivery = Delivery([Route("mqtt", sink)], lambda text: None)
        assert reading.next()[:2] == ("w/status", b'{"state": "online"}')
        running.kill()
        running.start()
        with reader(running.port) as again:
            assert again.next(40)[:2] == ("w/status", b'{"state": "online"}')
            delivery.close()
            assert again.next()[:2] == ("w/status", b'{"state": "offline"}')


def test_rights_that_are_missing_are_said(tmp_path: Path) -> None:
    """To connect, and to publish: MQTT 5 says so where 3.1.1 would acknowledge and drop."""
    (tmp_path / "passwords").write_text("")
    (tmp_path / "acl").write_text("user nurse\ntopic write ecg/#\n")
    passwords, acl = tmp_path / "passwords", tmp_path / "acl"
    config = f"allow_anonymous false\npassword_file {passwords}\nacl_file {acl}"
    passwords.write_text("nurse:s3cret\n")
    _hashed(passwords)
    with broker(tmp_path, config) as running:
        for text in ("", 'user = "nurse"\npassword = "wrong"'):
            sink = Mqtt(f"{running.url}/ecg", secrets(tmp_path, text), limit_s=5)
            with pytest.raises(DeliveryFailed, match=r"refuses this client.*[Nn]ot authorized"):
                sink.send(alert())
            sink.close()
        right = secrets(tmp_path, 'user = "nurse"\npassword = "s3cret"')
        sink = Mqtt(f"{running.url}/ecg", right, limit_s=5)
        sink.send(alert())
        sink.close()
        elsewhere = Mqtt(f"{running.url}/other", right, limit_s=5)
        with pytest.raises(DeliveryFailed, match=r"does not take it.*[Nn]ot authorized") as caught:
            elsewhere.send(alert())
        elsewhere.close()
    assert not isinstance(caught.value, Rejected)


def _hashed(passwords: Path) -> None:
    """Have mosquitto's own program hash a file of passwords; skip where it is missing."""
    subprocess.run([program("mosquitto_passwd"), "-U", str(passwords)], check=True)


# paho-mqtt 2.2.0 leaves the socket of a failed handshake to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tls_trusts_whom_the_secrets_name(tmp_path: Path) -> None:
    """And nobody else; a broker without TLS is no broker of mqtts."""
    certificate, key = self_signed(tmp_path)
    config = f"allow_anonymous true\ncertfile {certificate}\nkeyfile {key}"
    with broker(tmp_path, config) as running:
        url = f"mqtts://127.0.0.1:{running.port}/ecg"
        trusting = Mqtt(url, secrets(tmp_path, f'ca = "{certificate}"'), limit_s=5)
        trusting.send(alert())
        trusting.close()
        with pytest.raises(DeliveryFailed, match="no TLS: CERTIFICATE_VERIFY_FAILED"):
            Mqtt(url, limit_s=5).send(alert())
        with pytest.raises(DeliveryFailed):
            Mqtt(f"mqtt://127.0.0.1:{running.port}/ecg", limit_s=1).send(alert())
    with broker(tmp_path) as plain, pytest.raises(DeliveryFailed):
        Mqtt(f"mqtts://127.0.0.1:{plain.port}/ecg", limit_s=1).send(alert())


def test_nobody_there(tmp_path: Path) -> None:
    """A closed port, and a host that is none."""
    pytest.importorskip("paho.mqtt", reason="the extra mqtt is not installed")
    with pytest.raises(DeliveryFailed, match="refused"):
        Mqtt(f"mqtt://127.0.0.1:{free_port()}/a", limit_s=1).send(alert())
    with pytest.raises(DeliveryFailed):
        Mqtt("mqtt://nobody.invalid/a", limit_s=1).send(alert())


def test_a_lost_connection_is_made_anew(tmp_path: Path) -> None:
    """Without a failed try, where the broker is back before the next alert."""
    with broker(tmp_path) as running:
        sink = Mqtt(f"{running.url}/a", limit_s=5)
        sink.send(alert())
        running.kill()
        running.start()
        with reader(running.port) as reading:
            for _ in range(20):  # as the monitor tries again
                try:
                    sink.send(alert(id="later"))
                    break
                except DeliveryFailed:
                    continue
            assert json.loads(reading.next().payload)["id"] == "later"
        sink.close()
