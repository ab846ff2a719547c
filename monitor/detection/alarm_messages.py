"""What is published of named alarms: alerts in plain words, what stands, what cannot be told."""

from __future__ import annotations

from collections.abc import Iterable

from monitor.alarm_limits import RhythmLimits
from monitor.detection.alert_machine import alert_identity
from monitor.detection.desk import Desk
from monitor.detection.rhythm.life_cycle import AlarmChange
from monitor.detection.rhythm.patient_alarms import AlarmsState
from monitor.settings import AlarmRules
from monitor.wire.messages import (
    ALARM_KINDS,
    SHED,
    AlarmKind,
    AlarmStatus,
    Alert,
    PatientKind,
    Stream,
    joined_leads,
)

RULE = "alarms"  # what an alert of a named alarm names as its rule
# What an event of the signal makes unreadable, beside what each hop shows (`unreadable_kinds`).
# In noise QRS complexes cannot be counted and no silence be seen. Oscillations, and ventricular
# beats, which must be alike, are told from noise.
IN_NOISE: tuple[AlarmKind, ...] = (
    "asystole",
    "extreme_tachycardia",
    "extreme_bradycardia",
    "pause",
    "tachycardia",
    "bradycardia",
    "irregular_rhythm",
)
INHIBITED: dict[PatientKind | str, tuple[AlarmKind, ...]] = {
    "lead_off": ALARM_KINDS,
    "signal_lost": ALARM_KINDS,
    "stream_restarted": ALARM_KINDS,
    SHED: ALARM_KINDS,
    "noisy": IN_NOISE,
}
LEAD_UNREAD: tuple[AlarmKind, ...] = ("asystole",)  # of several leads: they share electrodes


def inhibited_kinds(
    rules: AlarmRules, events: Iterable[str], unreadable: Iterable[AlarmKind] = ()
) -> list[AlarmKind]:
    """Return the alarms that cannot be told, the most urgent first; of those that are on.

    Parameters
    ----------
    events : iterable of str
        Technical events that last, and `shed`.
    unreadable : iterable of str
        Those that the signal itself does not let be told.
    """
    kinds = {*unreadable}.union(*(INHIBITED.get(event, ()) for event in events))
    return [kind for kind in rules.on if kind in kinds]


def alarm_status(state: AlarmsState, rules: AlarmRules, fs_hz: float) -> list[AlarmStatus]:
    """Return the alarms that stand, the most urgent first."""
    return [
        AlarmStatus(
            kind=kind,
            priority=rules.priority(kind) or "low",
            since_sample=one.since_sample,
            since_s=round(one.since_sample / fs_hz, 4),
            lasts=one.lasts,
            latched=one.latched,
        )
        for kind, one in state.told.items()
    ]


def alarm_identity(stream: Stream, change: AlarmChange, of_sample: int) -> str:
    """Return the identity of a change.

    The same signal gives the same: a restart that comes past it again tells it no second time.

    Parameters
    ----------
    of_sample : int
        The change's; of an acknowledgement that at which the onset was told.
    """
    of = change.kind, RULE, change.state, change.since_sample
    return alert_identity(stream.patient, stream.record, of_sample, *of)


def alarm_alert(stream: Stream, change: AlarmChange, identity: str, desk: Desk) -> Alert:
    """Make the alert of a named alarm that began, is over, or was acknowledged."""
    sample, fs_hz = change.sample, stream.fs_hz
    duration_s = max(0, sample - change.since_sample) / fs_hz
    return Alert(
        schema=2,
        patient=stream.patient,
        record=stream.record,
        lead=joined_leads(stream.leads),
        sample=sample,
        time_s=round(sample / fs_hz, 4),
        wall_time=desk.wall_time(),
        id=identity,
        seq=desk.next_seq(),
        journal=desk.journal,
        state=change.state,
        priority=change.priority,
        rule=RULE,
        loss=None,
        threshold=None,
        ratio=None,
        rr_before_ms=None,
        rr_after_ms=None,
        quality=[],
        episode_beats=0,
        episode_start_sample=change.since_sample,
        model="",
        delay_ms=None,
        beat=[],
        reconstruction=[],
        duration_s=round(duration_s, 4),
        kind=change.kind,
        text=_text(change, duration_s, desk.alarms.limits),
    )


def _text(change: AlarmChange, duration_s: float, limits: RhythmLimits) -> str:
    name = change.kind.replace("_", " ")
    if change.state == "cleared":
        return f"{name} is over: {duration_s:.1f} s"
    if change.state == "acknowledged":
        return f"{name} was acknowledged"
    return f"{name}: {_CONDITIONS[change.kind].format(limits=limits)}"


_CONDITIONS: dict[AlarmKind, str] = {
    "asystole": "no QRS complex for {limits.asystole_s:g} s and more",
    "ventricular_fibrillation": "an oscillation instead of QRS complexes",
    "ventricular_tachycardia": (
        "{limits.ventricular_tachycardia_beats} ventricular beats or more at over "
        "{limits.ventricular_per_minute:g} a minute"
    ),
    "extreme_tachycardia": (
        "{limits.extreme_tachycardia_beats} beats at over "
        "{limits.extreme_tachycardia_per_minute:g} a minute"
    ),
    "extreme_bradycardia": (
        "{limits.extreme_bradycardia_beats} beats at under "
        "{limits.extreme_bradycardia_per_minute:g} a minute"
    ),
    "ventricular_run": (
        "{limits.ventricular_run_beats} ventricular beats or more at over "
        "{limits.ventricular_per_minute:g} a minute"
    ),
    "pause": (
        "no beat for over {limits.pause_s:g} s, or {limits.pause_ratio:g} times the usual interval"
    ),
    "tachycardia": "{limits.rate_beats} beats faster than the patient's limit",
    "bradycardia": "{limits.rate_beats} beats slower than the patient's limit",
    "irregular_rhythm": "the intervals are irregularly irregular, as in atrial fibrillation",
}
