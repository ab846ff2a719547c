"""The made-up ward that the view is measured on."""

from __future__ import annotations

import json

import pytest

from monitor.view.snapshot import Snapshot, apply
from monitor.wire.codec import decode_message, encode_message
from monitor.wire.messages import Alert
from tools.bench_view import TICK_S, Ward, main


def test_a_second_of_the_ward_is_what_a_monitor_says() -> None:
    """A stretch of signal a patient and tick, about 1.2 beats a patient, true messages."""
    ward = Ward(200, alerts_per_s=10)
    waves, beats, alerts = [], [], []
    heartbeats = 0
    while not heartbeats:
        waves += ward.waves()
        beats += ward.beats()
        alerts += ward.alerts()
        heartbeats += ward.tick()
    assert len(waves) == 200 / TICK_S
    assert 150 < len(beats) < 350
    assert len([alert for alert in alerts if alert.state == "onset"]) in (9, 10)
    for message in (waves[0], beats[0], alerts[0], ward.status()):
        assert decode_message(encode_message(message)) == message
    assert len(json.loads(encode_message(ward.status())[1])["patients"]) == 200


def test_a_heartbeat_speaks_of_some_patients_in_turn() -> None:
    """As the consumer's: of all of them in ten seconds, of few in each."""
    ward = Ward(2000, alerts_per_s=0)
    told = [one.patient for _ in range(10) for one in ward.status().patients]
    assert len(told) == len(set(told)) == 2000
    assert [one.patient for one in Ward(3, 0).status().patients] == Ward(3, 0).names


def test_every_episode_ends_a_second_later() -> None:
    """With numbers without holes, so that no client asks for what never was."""
    ward = Ward(20, alerts_per_s=5)
    said: list[Alert] = []
    for _ in range(round(10 / TICK_S)):
        said += ward.alerts()
        ward.tick()
    assert sorted(alert.seq for alert in said) == list(range(1, len(said) + 1))
    scene = Snapshot()
    for alert in said:
        scene = apply(scene, alert)
    open_now = [patient for patient in scene.patients.values() if patient.episode is not None]
    assert len(open_now) <= 6


def test_a_small_ward_is_watched(capsys: pytest.CaptureFixture[str]) -> None:
    """A real view on a pseudo-terminal; nothing is written."""
    assert main(["--quick", "--sizes", "80x24"]) == 0
    assert "| 80x24 | 2 |" in capsys.readouterr().out


@pytest.mark.parametrize("size", ["80", "80x", "x24", "axb"])
def test_a_size_that_is_none_is_refused(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Columns and rows."""
    assert main(["--quick", "--sizes", size]) == 1
    assert f"{size!r} is not like 80x24" in capsys.readouterr().err
