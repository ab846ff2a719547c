"""What the monitor says off a terminal: one line a noteworthy message, or JSON lines."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from monitor.text import counted, harmless
from monitor.wire.codec import encode_json
from monitor.wire.messages import (
    ALARM_KINDS,
    AlarmKind,
    AlarmStatus,
    Alert,
    AlertKind,
    BeatScored,
    FamilyStatus,
    LearningStatus,
    Message,
    PatientStatus,
    Technical,
    began_s,
    is_unreadable,
    joined_leads,
    measured,
    named_leads,
)

# What JSON leaves as it is and a terminal obeys or hides: C1 controls, zero-width, bidi controls.
_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
MAX_NOTE = 300  # characters of what is said of all of a patient's leads, as in a summary
MAX_TIME_S = 9999 * 3600.0  # a longer record has no place in the columns


def plain_line(message: Message) -> str | None:
    """Return one line of an alert, a technical alert or a beat; none of waves and heartbeats."""
    match message:
        case BeatScored():
            return _beat_line(message)
        case Alert():
            return _alert_line(message)
        case Technical():
            return _technical_line(message)
        case _:
            return None


def status_line(status: PatientStatus) -> str:
    """Return one line of how far a patient is."""
    is_told = status.heart_rate_bpm is not None and not is_unreadable(status.technical)
    rate = f"{status.heart_rate_bpm:.0f}" if is_told else "--"
    threshold = "--" if status.threshold is None else f"{status.threshold:.1f}"
    kept = what_is_kept_back(status.technical) or "technical"
    technical = [event for event in status.technical if event != "lead_left_out"]
    lasting = f"  {kept}: {', '.join(map(harmless, technical))}" if technical else ""
    if status.left_out:
        lasting = f"  without {harmless(named_leads(status.left_out))}{lasting}"
    if status.inhibited:
        lasting = f"{lasting}  {inhibited_text(status.inhibited)}"
    if status.alarms:
        standing = ", ".join(map(standing_text, status.alarms))
        lasting = f"  {standing}{lasting}"
    return (
        f"{clock(status.position / status.fs_hz)}  {harmless(status.patient)}  {status.state}"
        f"  HR {rate}/min  {counted(status.beats, 'beat')}"
        f"  {status.anomalous} anomalous  {counted(status.alerts, 'alert')}  threshold {threshold}"
        f"  lag {status.lag_s:.2f} s{learning_text(status.learning, before='  ')}{lasting}"
    )


def families_text(families: Iterable[FamilyStatus]) -> str:
    """Return how many families there are, how often each came, and what was said of it."""
    told = [f"{one.beats}x{f' {one.word}' if one.word else ''}" for one in families]
    return f"{len(told)}: {', '.join(told)}"


def alarm_name(kind: AlertKind) -> str:
    """Return the name of an alarm in words."""
    return kind.replace("_", " ")


def standing_text(alarm: AlarmStatus) -> str:
    """Return a named alarm that stands: since when, and what is asked of a person."""
    over = "" if alarm.lasts else " is over"
    asked = " to acknowledge" if alarm.latched else ""
    since = clock(alarm.since_s, 0)
    return f"{alarm_name(alarm.kind).upper()}{over} {alarm.priority} since {since}{asked}"


def inhibited_text(inhibited: Iterable[AlarmKind]) -> str:
    """Return which named alarms cannot be raised now; of most of them, which still can."""
    silent = set(inhibited)
    others = [alarm_name(kind) for kind in ALARM_KINDS if kind not in silent]
    if not others:
        return "no named alarm can be raised"
    if len(others) < len(ALARM_KINDS) / 2:
        return f"of named alarms only {_listed(others)} can be raised"
    return f"cannot be raised: {_listed([alarm_name(k) for k in ALARM_KINDS if k in silent])}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def what_is_kept_back(technical: Iterable[str]) -> str:
    """Return what is not said of a patient while technical events last; empty where all is."""
    events = set(technical)
    if is_unreadable(events):
        return "verdict withheld"
    return "no beat alerts" if "model_unfit" in events else ""


def learning_text(learning: LearningStatus | None, before: str = "") -> str:
    """Return how far a learning is, behind `before`; empty where nothing is learnt."""
    if learning is None:
        return ""
    if not learning.training:
        left = clock(learning.left_s, 0).removeprefix("00:")
        return f"{before}{left} left to learn  {counted(learning.beats, 'beat')} so far"
    what = f"training on {counted(learning.beats, 'beat')}"
    if learning.ahead:
        what = f"waits to be trained, {learning.ahead} before it"
    wait = "waits" if learning.held == 1 else "wait"
    return f"{before}{what}  {counted(learning.held, 'beat')} {wait}"


def transition_line(before: PatientStatus | None, after: PatientStatus) -> str | None:
    """Return one line when a patient begins to learn, is learnt, or has ended; else none."""
    if before is not None and before.state == after.state:
        return None
    place = f"{clock(after.position / after.fs_hz)}  {harmless(after.patient)}"
    note = f"  {harmless(after.note, MAX_NOTE)}" if after.note else ""
    if after.state == "monitoring" and after.threshold is not None:
        return f"{place}  MONITORING  threshold {after.threshold:.1f}{note}"
    return f"{place}  {after.state.upper()}{note}"


def json_line(message: Message) -> str:
    """Return the message as one line of JSON."""
    return _UNSEEN.sub(_escaped, encode_json(message).decode())


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def clock(time_s: float, decimals: int = 3) -> str:
    """Return a time in the record as hh:mm:ss.mmm; dashes where it makes no sense."""
    if not (math.isfinite(time_s) and 0 <= time_s < MAX_TIME_S):
        return "--:--:--" + ("." + "-" * decimals if decimals else "")
    scale = 10**decimals
    ticks = math.floor(time_s * scale + 1e-6)  # a displayed second has passed
    seconds, fraction = divmod(ticks, scale)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{fraction:0{decimals}d}" if decimals else ""
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{tail}"


def milliseconds(interval_ms: float | None) -> str:
    """Return whole milliseconds; dashes where there is none."""
    return "--" if interval_ms is None else f"{interval_ms:.0f}"


def _mark_line(alert: Alert) -> str:
    return (
        f"{clock(alert.time_s)}  {harmless(alert.patient)}  MARK  family {alert.family}"
        f"  {alert.word or 'taken back'}{_by(alert)}"
    )


def _by(alert: Alert) -> str:
    """Return who acknowledged or marked, as the client said; empty where nobody did or said."""
    return f"  by {harmless(alert.by)}" if alert.by else ""


def alarm_words(kind: AlertKind, text: str) -> str:
    """Return the name of an alarm, once, and what is said of it."""
    name, said = alarm_name(kind), harmless(text)
    return said if said.lower().startswith(name) else f"{name}  {said}".rstrip()


def _alarm_line(alert: Alert) -> str:
    words = alarm_words(alert.kind, alert.text)
    return (
        f"{clock(alert.time_s)}  {harmless(alert.patient)}  ALARM {alert.state:<7}"
        f"  {alert.priority:<6}  {words}  since {clock(began_s(alert))}{_by(alert)}"
    )


def _alert_line(alert: Alert) -> str:
    if alert.state == "marked":
        return _mark_line(alert)
    of_beat = measured(alert)
    if of_beat is None:
        return _alarm_line(alert)
    count = counted(alert.episode_beats, "beat")
    leads = f"  {harmless(joined_leads(alert.leads))}" if alert.leads else ""
    quality = f"  {', '.join(map(harmless, alert.quality))}" if alert.quality else ""
    family = "" if alert.family is None else f"  family {alert.family}"
    above = f"x{of_beat.ratio:.1f}" if of_beat.score is None else f"score {of_beat.score:.1f}"
    return (
        f"{clock(alert.time_s)}  {harmless(alert.patient)}  ALERT {alert.state:<7}"
        f"  {alert.priority:<6}  loss {of_beat.loss:.1f} / {of_beat.threshold:.1f}"
        f" ({above})  RR {milliseconds(alert.rr_before_ms)}"
        f"/{milliseconds(alert.rr_after_ms)} ms  {count}{leads}{family}{quality}{_by(alert)}"
    )


def _beat_line(beat: BeatScored) -> str:
    verdict = "anomalous" if beat.anomalous else "normal" if beat.loss is not None else "unjudged"
    loss = "--" if beat.loss is None else f"{beat.loss:.1f}"
    threshold = "--" if beat.threshold is None else f"{beat.threshold:.1f}"
    score = "" if beat.score is None else f" (score {beat.score:.2f})"
    family = "" if beat.family is None else f"  family {beat.family}"
    quality = f"  {', '.join(map(harmless, beat.quality))}" if beat.quality else ""
    return (
        f"{clock(beat.time_s)}  {harmless(beat.patient)}  BEAT {verdict:<9}  loss {loss} / "
        f"{threshold}{score}  RR {milliseconds(beat.rr_before_ms)}"
        f"/{milliseconds(beat.rr_after_ms)} ms  {harmless(beat.lead)}{family}{quality}"
    )


def _technical_line(technical: Technical) -> str:
    text = f"  {harmless(technical.text)}" if technical.text else ""
    if technical.inhibits and technical.state == "onset":
        text += f"  {inhibited_text(technical.inhibits)}"
    return (
        f"{clock(technical.time_s)}  {harmless(technical.patient)}  TECHNICAL {technical.state:<7}"
        f"  {technical.event}{text}"
    )
