"""Scenes for the live view: messages as a consumer sends them, and the snapshots they make."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import reduce
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from monitor.view.layout import render
from monitor.view.snapshot import Snapshot, apply
from monitor.wire.messages import (
    ALARM_KINDS,
    AlarmKind,
    AlarmStatus,
    Alert,
    BeatScored,
    FamilyStatus,
    LossByPart,
    Message,
    Neighbour,
    OtherLead,
    PatientStatus,
    Priority,
    StageHealth,
    Status,
    Technical,
    Wave,
)

FS_HZ = 250.0
WAVE_HZ = 125.0
THRESHOLD = 26.0
WALL_TIME = "2026-01-02T03:04:05.678Z"


def beat(sample: int, loss: float | None = 9.0, **changes: Any) -> BeatScored:
    """Return one scored beat; anomalous where its loss is above the threshold."""
    values: dict[str, Any] = {
        "schema": 1,
        "patient": "119",
        "record": "119",
        "lead": "MLII",
        "sample": sample,
        "time_s": sample / FS_HZ,
        "wall_time": WALL_TIME,
        "loss": loss,
        "threshold": THRESHOLD,
        "anomalous": loss is not None and loss > THRESHOLD,
        "rr_before_ms": 812.0,
        "rr_after_ms": 808.0,
        "quality": [],
    }
    return BeatScored(**values | changes)


def alert(
    sample: int,
    state: Literal["onset", "ongoing", "cleared", "acknowledged", "marked"] = "onset",
    seq: int = 1,
    **changes: Any,
) -> Alert:
    """Return one transition of an episode that began at its own sample."""
    shape, reconstruction = ectopic_beat()
    values: dict[str, Any] = {
        "schema": 1,
        "patient": "119",
        "record": "119",
        "lead": "MLII",
        "sample": sample,
        "time_s": sample / FS_HZ,
        "wall_time": WALL_TIME,
        "id": f"119-{sample}-{state}",
        "seq": seq,
        "journal": "5c1d",
        "state": state,
        "priority": "medium",
        "rule": "threshold",
        "loss": 41.2,
        "threshold": THRESHOLD,
        "ratio": 41.2 / THRESHOLD,
        "rr_before_ms": 512.0,
        "rr_after_ms": 1020.0,
        "quality": [],
        "episode_beats": 1,
        "episode_start_sample": sample,
        "model": "ab12cd34",
        "delay_ms": 310.0,
        "beat": shape.tolist(),
        "reconstruction": reconstruction.tolist(),
    }
    return Alert(**values | changes)


def alarm(
    sample: int,
    state: Literal["onset", "cleared", "acknowledged"] = "onset",
    seq: int = 1,
    **changes: Any,
) -> Alert:
    """Return the onset or the end of an asystole, which began 3.5 s before its sample."""
    values: dict[str, Any] = {
        "schema": 2,
        "id": f"119-{sample}-{state}-asystole",
        "priority": "high",
        "rule": "asystole",
        "loss": None,
        "threshold": None,
        "ratio": None,
        "rr_before_ms": None,
        "rr_after_ms": None,
        "episode_beats": 0,
        "episode_start_sample": sample - round(3.5 * FS_HZ),
        "delay_ms": None,
        "beat": [],
        "reconstruction": [],
        "kind": "asystole",
        "text": "asystole: no QRS complex for 3.5 s and more",
    }
    return alert(sample, state, seq, **values | changes)


def standing(
    kind: AlarmKind,
    since_s: float,
    priority: Priority = "high",
    *,
    lasts: bool = True,
    latched: bool | None = None,
) -> AlarmStatus:
    """Return a named alarm as a heartbeat tells it; of high priority nobody acknowledged it."""
    is_latched = priority == "high" if latched is None else latched
    return AlarmStatus(kind, priority, round(since_s * FS_HZ), since_s, lasts, is_latched)


def technical(
    sample: int,
    state: Literal["onset", "cleared"] = "onset",
    seq: int = 1,
    **changes: Any,
) -> Technical:
    """Return a technical alert: a lead that is off."""
    values: dict[str, Any] = {
        "schema": 1,
        "patient": "119",
        "record": "119",
        "lead": "MLII",
        "sample": sample,
        "time_s": sample / FS_HZ,
        "wall_time": WALL_TIME,
        "id": f"119-{sample}-{state}-lead_off",
        "seq": seq,
        "journal": "5c1d",
        "event": "lead_off",
        "state": state,
        "text": "no signal on MLII",
    }
    return Technical(**values | changes)


def patient_status(position: int, **changes: Any) -> PatientStatus:
    """Return how far a patient of a record of half an hour is."""
    values: dict[str, Any] = {
        "patient": "119",
        "record": "119",
        "lead": "MLII",
        "fs_hz": FS_HZ,
        "position": position,
        "n_samples": 450_000,
        "state": "monitoring",
        "beats": 371,
        "anomalous": 12,
        "alerts": 3,
        "withheld": 0,
        "threshold": THRESHOLD,
        "heart_rate_bpm": 74.2,
        "lag_s": 0.12,
        "technical": [],
        "note": "",
    }
    return PatientStatus(**values | changes)


def status(*patients: PatientStatus, **changes: Any) -> Status:
    """Return a heartbeat with three healthy stages."""
    names: tuple[Literal["producer", "segmenter", "consumer"], ...] = (
        "producer",
        "segmenter",
        "consumer",
    )
    stages = [
        StageHealth(
            stage=name,
            messages_in=1204,
            messages_out=1204,
            malformed=0,
            gaps=0,
            dropped=0,
            restarts=0,
            age_s=0.3,
        )
        for name in names
    ]
    values: dict[str, Any] = {
        "schema": 1,
        "newest_seq": 3,
        "journal": "5c1d",
        "wall_time": WALL_TIME,
        "speed": 1.0,
        "patients": list(patients),
        "stages": stages,
        "model": "ab12cd34",
    }
    return Status(**values | changes)


def wave(
    sample: int, values: Iterable[float | None], r_samples: Iterable[int] = (), **changes: Any
) -> Wave:
    """Return a stretch of signal."""
    fields: dict[str, Any] = {
        "schema": 1,
        "patient": "119",
        "sample": sample,
        "fs_hz": WAVE_HZ,
        "values": list(values),
        "r_samples": list(r_samples),
    }
    return Wave(**fields | changes)


def _bump(time_s: NDArray[np.float64], at_s: float, width_s: float) -> NDArray[np.float64]:
    return np.exp(-0.5 * ((time_s - at_s) / width_s) ** 2)


def normal_shape(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return P, QRS and T in mV round an R peak at 0."""
    p, q, r = _bump(time_s, -0.17, 0.022), _bump(time_s, -0.03, 0.01), _bump(time_s, 0, 0.011)
    s, t = _bump(time_s, 0.03, 0.011), _bump(time_s, 0.27, 0.045)
    return 0.14 * p - 0.12 * q + 1.15 * r - 0.28 * s + 0.3 * t


def ectopic_shape(time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a wide complex without a P wave, its T wave turned."""
    return 1.6 * _bump(time_s, 0.02, 0.045) - 0.75 * _bump(time_s, 0.26, 0.07)


def ectopic_beat() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return a cut ectopic beat and a reconstruction that knows only normal ones; 140 values."""
    time_s = np.linspace(-0.35, 0.55, 140)
    shape, rebuilt = ectopic_shape(time_s), 0.7 * normal_shape(time_s) + 0.3 * ectopic_shape(time_s)
    return (shape - shape.mean()) / shape.std(ddof=1), (rebuilt - rebuilt.mean()) / rebuilt.std(
        ddof=1
    )


def signal_messages(
    duration_s: float, patient: str = "119", start_s: float = 300.0
) -> list[Message]:
    """Return a simulated ECG with every ninth beat ectopic: its waves, beats and alerts."""
    rng = np.random.default_rng(7)
    peaks_s, ectopic = _rhythm(duration_s, start_s)
    time_s = start_s + np.arange(int(duration_s * WAVE_HZ)) / WAVE_HZ
    signal = 0.05 * np.sin(2 * np.pi * 0.25 * time_s) + rng.normal(0, 0.012, len(time_s))
    for peak_s, is_ectopic in zip(peaks_s, ectopic, strict=True):
        signal += (ectopic_shape if is_ectopic else normal_shape)(time_s - peak_s)
    r_samples = [round(peak_s * FS_HZ) for peak_s in peaks_s]
    first = round(start_s * FS_HZ)
    messages: list[Message] = [
        wave(first + 2 * i, signal[i : i + 25].round(3).tolist(), patient=patient)
        for i in range(0, len(signal), 25)
    ]
    messages.append(wave(first, [], r_samples, patient=patient))
    losses = np.where(
        ectopic, rng.normal(41, 6, len(peaks_s)), rng.lognormal(2.2, 0.3, len(peaks_s))
    )
    for n, (sample, loss) in enumerate(zip(r_samples, losses, strict=True)):
        scored = beat(sample, round(float(loss), 1), patient=patient, record=patient)
        messages.append(scored)
        if scored.anomalous and scored.loss is not None:
            said = {
                "patient": patient,
                "record": patient,
                "loss": scored.loss,
                "ratio": scored.loss / THRESHOLD,
            }
            messages.append(alert(sample, "onset", seq=2 * n, **said))
            messages.append(alert(sample, "cleared", seq=2 * n + 1, **said))
    return messages


def _rhythm(duration_s: float, start_s: float) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return R peaks with premature beats and their pauses, and which are premature."""
    peaks_s, ectopic = [start_s + 0.4], [False]
    for n in range(1, math.ceil(duration_s / 0.6)):
        is_ectopic = n % 9 == 7
        rr_s = 0.51 if is_ectopic else (1.08 if ectopic[-1] else 0.81 + 0.02 * math.sin(n))
        peaks_s.append(peaks_s[-1] + rr_s)
        ectopic.append(is_ectopic)
    inside = np.array(peaks_s) < start_s + duration_s - 0.6
    return np.array(peaks_s)[inside], np.array(ectopic)[inside]


def after(messages: Iterable[Message], snapshot: Snapshot | None = None) -> Snapshot:
    """Return the snapshot after all messages."""
    return reduce(apply, messages, snapshot or Snapshot())


def monitoring_scene(duration_s: float = 120.0) -> Snapshot:
    """Return a patient watched for a while from 0:05:00 on."""
    end = round((300 + duration_s) * FS_HZ)
    return after(
        [status(patient_status(75_000)), *signal_messages(duration_s), status(patient_status(end))]
    )


def lead_off_scene() -> Snapshot:
    """Return the same patient after the lead came off for three seconds and is still off."""
    scene = monitoring_scene()
    end = round(420 * FS_HZ)
    return after(
        [
            wave(end, [None] * 375),
            technical(end, seq=9000),
            status(patient_status(end + 750, technical=["lead_off"])),
        ],
        scene,
    )


def two_leads_scene() -> Snapshot:
    """Return the patient with a second lead, turned, half as high; an alert of both."""
    leads = ["MLII", "V1"]
    messages = [
        msgspec.structs.replace(
            one,
            lead="MLII",
            others=[OtherLead("V1", [None if v is None else -0.5 * v for v in one.values])],
        )
        if isinstance(one, Wave)
        else one
        for one in signal_messages(120.0)
    ]
    end = round(420 * FS_HZ)
    onset = alert(end - 100, seq=9000, lead="V1", leads=leads, why=["shape", "premature"])
    said = (patient_status(at, lead="MLII, V1", leads=leads) for at in (75_000, end))
    return after([status(next(said)), *messages, onset, status(next(said))])


def left_out_scene() -> Snapshot:
    """Return the same patient after V1 came off: the other lead is judged on."""
    end = round(423 * FS_HZ)
    leads = ["MLII", "V1"]
    said = patient_status(end, lead="MLII, V1", leads=leads, left_out=["V1"])
    signal = [0.05 * math.sin(n / 9) for n in range(375)]
    return after(
        [
            alert(end - 700, "cleared", seq=9001, lead="V1", episode_start_sample=104_900),
            wave(end - 750, signal, lead="MLII", others=[OtherLead("V1", [0.0] * 375)]),
            technical(
                end - 500, seq=9002, event="lead_left_out", lead="V1", text="lead V1 is left out"
            ),
            status(msgspec.structs.replace(said, technical=["lead_left_out"])),
        ],
        two_leads_scene(),
    )


def alarm_scene() -> Snapshot:
    """Return a patient whose heart stands still, after a run that nobody has acknowledged."""
    end = round(420 * FS_HZ)
    alarms = [
        standing("asystole", 414.5),
        standing("ventricular_tachycardia", 371.0, lasts=False),
        standing("irregular_rhythm", 305.0, "low"),
    ]
    return after(
        [
            alarm(
                round(373 * FS_HZ),
                seq=9000,
                kind="ventricular_tachycardia",
                text="ventricular tachycardia: 5 ventricular beats or more at over 100 a minute",
                episode_start_sample=round(371 * FS_HZ),
            ),
            alarm(round(418 * FS_HZ), seq=9001),
            status(patient_status(end, alarms=alarms, latched=True, alerts=9)),
        ],
        monitoring_scene(),
    )


def inhibited_scene() -> Snapshot:
    """Return the patient after the lead came off: a tachycardia was there, no alarm can come."""
    kinds = list(ALARM_KINDS)
    alarms = [standing("tachycardia", 400.0, "medium")]
    end = round(420 * FS_HZ)
    return after(
        [
            technical(end, seq=9000, inhibits=kinds),
            status(
                patient_status(end + 750, technical=["lead_off"], inhibited=kinds, alarms=alarms)
            ),
        ],
        monitoring_scene(),
    )


def alarm_ward_scene() -> Snapshot:
    """Return the ward with named alarms: the worst of them is worse than its high episode."""
    alarms: dict[str, list[AlarmStatus]] = {
        "bed 02": [standing("tachycardia", 310.0, "medium")],
        "bed 04": [standing("extreme_bradycardia", 318.0, latched=False)],
        "bed 08": [
            standing("ventricular_fibrillation", 316.4),
            standing("pause", 312.0, "medium"),
        ],
        "bed 11": [standing("asystole", 302.0, lasts=False)],
    }
    said = [
        patient_status(80_400, patient=name, record=name, alarms=found)
        for name, found in alarms.items()
    ]
    return after([status(*said)], ward_scene())


def ward_scene() -> Snapshot:
    """Return twelve patients, of whom some need a look."""
    names = [f"bed {n:02d}" for n in range(1, 13)]
    first = [status(*(patient_status(75_000, patient=name, record=name) for name in names))]
    messages: list[Message] = [*first]
    for name in names:
        messages += signal_messages(20.0, name)
    messages += [
        alert(
            80_100,
            seq=9001,
            patient="bed 07",
            record="bed 07",
            priority="high",
            ratio=2.4,
            episode_beats=5,
        ),
        technical(80_200, seq=9002, patient="bed 03"),
        alert(80_300, seq=9003, patient="bed 09", record="bed 09", priority="low"),
    ]
    changes: dict[str, dict[str, Any]] = {
        "bed 03": {"technical": ["lead_off"]},
        "bed 05": {"state": "learning", "threshold": None},
        "bed 06": {"state": "ended"},
    }
    said = [
        patient_status(80_400, **{"patient": name, "record": name} | changes.get(name, {}))
        for name in names
    ]
    return after([*messages, status(*said)])


def families_scene() -> Snapshot:
    """Return the patient with four families: of two a person said what they are."""
    time_s = np.linspace(-0.35, 0.55, 35)
    shapes = [ectopic_shape(time_s), -ectopic_shape(time_s), normal_shape(time_s)]
    small = [np.rint(100 * one / np.abs(one).max()).astype(int).tolist() for one in shapes]
    families = [
        FamilyStatus(2, 1204, 12, "normal", True, small[0]),
        FamilyStatus(1, 40, 3, "", True, small[1]),
        FamilyStatus(5, 4, 1, "always", True, small[2]),
        FamilyStatus(7, 1, 1),
    ]
    end = round(420 * FS_HZ)
    said = alert(end - 100, seq=9000, family=5)
    return after([said, status(patient_status(end, families=families))], monitoring_scene())


def explained_scene() -> Snapshot:
    """Return the patient with the latest anomalous beat explained."""
    said = alert(
        105_100,
        seq=9000,
        why=["shape", "premature"],
        parts=LossByPart(p=0.1, qrs=0.3, t=0.6),
        neighbours=[Neighbour(60.0 + n, ectopic_beat()[1].tolist()) for n in range(3)],
    )
    return replace(after([said], monitoring_scene(20.0)), explaining=True)


def crowd(n_patients: int) -> Snapshot:
    """Return a ward of many: three in need of a look, every fiftieth still learnt."""
    said = [
        patient_status(
            75_000 + n,
            patient=f"p{n:04d}",
            record=f"rec{n % 10}",
            state="learning" if n % 50 == 49 else "monitoring",
            alerts=n % 5,
        )
        for n in range(n_patients)
    ]
    return after(
        [
            status(*said),
            alert(75_100, seq=1, patient="p0007", priority="medium", ratio=3.0),
            alert(75_200, seq=2, patient="p0011", priority="medium", ratio=9.5),
            alert(75_300, seq=3, patient="p0013", priority="high", ratio=1.2),
        ]
    )


def lines_of(
    snapshot: Snapshot, width: int, height: int, console: Console | None = None
) -> list[str]:
    """Return the screen as text, one string a row."""
    drawing = console or Console(
        width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False
    )
    with drawing.capture() as captured:
        drawing.print(render(snapshot, width, height), end="")
    return captured.get().splitlines()
