"""How soon patients are ready, as a listener counts it."""

from __future__ import annotations

import pytest

from monitor.wire.messages import Status
from tests.messages import beat_scored, patient_status, status
from tools.bench_learning import WardSeen


def heartbeat(seconds: float, *ready: str) -> Status:
    """Return a heartbeat of two patients, of whom some are monitored."""
    patients = [
        patient_status(
            patient=name,
            fs_hz=250.0,
            position=round(seconds * 250),
            state="monitoring" if name in ready else "learning",
        )
        for name in "ab"
    ]
    return status(patients=patients)


def test_readiness_is_counted_from_when_the_minute_is_over() -> None:
    """And verdicts meanwhile are those of who is ready, a while after what waited for it."""
    seen = WardSeen()
    seen.hear(heartbeat(59), now_s=100.0, now_ns=0)
    seen.hear(heartbeat(60), now_s=101.0, now_ns=0)
    seen.hear(heartbeat(63, "a"), now_s=104.0, now_ns=0)
    for now_s, delay_ms in ((105.0, 900), (110.0, 30), (120.0, 40)):
        beat = beat_scored(patient="a", sent_ns=5_000_000)
        seen.hear(beat, now_s, now_ns=5_000_000 + delay_ms * 1_000_000)
    seen.hear(heartbeat(72, "a", "b"), now_s=113.0, now_ns=0)
    assert seen.waits_s() == {"a": pytest.approx(3.0), "b": pytest.approx(12.0)}
    assert seen.delays_meanwhile_ms() == [pytest.approx(30.0)]
