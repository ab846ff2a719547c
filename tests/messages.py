"""Messages to the world, made with a few words."""

from __future__ import annotations

from typing import Any

import msgspec

from monitor.wire.messages import (
    Alert,
    BeatScored,
    PatientStatus,
    StageHealth,
    Status,
    Technical,
    Wave,
)

WALL_TIME = "2026-01-01T00:00:00.000Z"
_PLACE: dict[str, Any] = {
    "schema": 1,
    "patient": "119",
    "record": "119",
    "lead": "MLII",
    "sample": 3600,
    "time_s": 10.0,
    "wall_time": WALL_TIME,
}


def alert(**changes: Any) -> Alert:
    """Return an onset."""
    return msgspec.structs.replace(
        Alert(
            **_PLACE,
            id="00",
            seq=1,
            journal="j1",
            state="onset",
            priority="medium",
            rule="loss-1-of-1",
            loss=52.0,
            threshold=26.0,
            ratio=2.0,
            rr_before_ms=500.0,
            rr_after_ms=None,
            quality=[],
            episode_beats=1,
            episode_start_sample=3600,
            model="m1",
            delay_ms=120.0,
            beat=[0.0] * 140,
            reconstruction=[0.5] * 140,
        ),
        **changes,
    )


def alarm(**changes: Any) -> Alert:
    """Return the onset of an asystole that began 3.5 s before: it has no beat."""
    return msgspec.structs.replace(
        alert(
            schema=2,
            id="02",
            priority="high",
            rule="asystole",
            loss=None,
            threshold=None,
            ratio=None,
            rr_before_ms=None,
            episode_beats=0,
            episode_start_sample=2340,
            delay_ms=None,
            beat=[],
            reconstruction=[],
            kind="asystole",
            text="asystole: no QRS complex for 3.5 s and more",
        ),
        **changes,
    )


def technical(**changes: Any) -> Technical:
    """Return the onset of noise."""
    return msgspec.structs.replace(
        Technical(
            **_PLACE,
            id="01",
            seq=2,
            journal="j1",
            event="noisy",
            state="onset",
            text="too noisy to be read",
        ),
        **changes,
    )


def beat_scored(**changes: Any) -> BeatScored:
    """Return a normal beat."""
    return msgspec.structs.replace(
        BeatScored(
            **_PLACE,
            loss=10.0,
            threshold=26.0,
            anomalous=False,
            rr_before_ms=800.0,
            rr_after_ms=800.0,
            quality=[],
        ),
        **changes,
    )


def patient_status(**changes: Any) -> PatientStatus:
    """Return a patient that is monitored."""
    return msgspec.structs.replace(
        PatientStatus(
            patient="119",
            record="119",
            lead="MLII",
            fs_hz=360.0,
            position=3600,
            n_samples=650_000,
            state="monitoring",
            beats=12,
            anomalous=1,
            alerts=1,
            withheld=0,
            threshold=26.0,
            heart_rate_bpm=75.0,
            lag_s=0.1,
            technical=[],
            note="",
        ),
        **changes,
    )


def status(**changes: Any) -> Status:
    """Return a heartbeat of one patient."""
    return msgspec.structs.replace(
        Status(
            schema=1,
            newest_seq=0,
            journal="j1",
            wall_time=WALL_TIME,
            speed=1.0,
            patients=[patient_status()],
            stages=[StageHealth("consumer", 1, 1, 0, 0, 0, 0)],
            model="m1",
        ),
        **changes,
    )


def wave() -> Wave:
    """Return a short stretch with a gap."""
    return Wave(
        schema=1, patient="119", sample=0, fs_hz=120.0, values=[0.0, None, 1.0], r_samples=[2]
    )
