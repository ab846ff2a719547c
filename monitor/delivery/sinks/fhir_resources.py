"""An alert as a resource of FHIR R4 (4.0.1): DetectedIssue, or Observation of a technical alert.

An alert is a DetectedIssue: `preliminary` while it lasts, `final` once it is over or a person has
acknowledged or marked it. A technical alert is about the signal, so it is an Observation of which
`valueBoolean` says whether it lasts. Each message is a resource of its own, which nothing changes
later; `identifier` holds the message's own identity, and that of what it is about.
"""

from __future__ import annotations

import re
from typing import Any, TypeAlias

from monitor.delivery.sinks.templates import words
from monitor.plain import alarm_name
from monitor.wire.messages import Alert, AlertKind, Technical

Resource: TypeAlias = dict[str, Any]
SYSTEM = "urn:ecg-monitor"
SNOMED = "http://snomed.info/sct"
SNOMED_CODES: dict[AlertKind, tuple[str, str]] = {
    "asystole": ("397829000", "Asystole"),
    "ventricular_fibrillation": ("71908006", "Ventricular fibrillation"),
    "ventricular_tachycardia": ("25569003", "Ventricular tachycardia"),
    "extreme_tachycardia": ("3424008", "Tachycardia"),
    "tachycardia": ("3424008", "Tachycardia"),
    "extreme_bradycardia": ("48867003", "Bradycardia"),
    "bradycardia": ("48867003", "Bradycardia"),
    "irregular_rhythm": ("361137007", "Irregular heart beat"),
}
_SEVERITY = {"high": "high", "medium": "moderate", "low": "low"}
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


def resource(message: Alert | Technical) -> Resource:
    """Return the resource that tells of a message."""
    return _issue(message) if isinstance(message, Alert) else _observation(message)


def identity(message: Alert | Technical) -> tuple[str, str]:
    """Return system and value of the identifier that no other message has."""
    return f"{SYSTEM}:alert", f"{message.journal}:{message.id}"


def _issue(alert: Alert) -> Resource:
    is_open = alert.state in ("onset", "ongoing")
    coding = [_own_code(alert.kind)]
    if alert.kind in SNOMED_CODES:
        code, display = SNOMED_CODES[alert.kind]
        coding.append({"system": SNOMED, "code": code, "display": display})
    about = f"{alert.journal}:{alert.patient}:{alert.kind}:{alert.episode_start_sample}"
    found: Resource = {
        "resourceType": "DetectedIssue",
        "identifier": [_identifier(*identity(alert)), _identifier(f"{SYSTEM}:episode", about)],
        "status": "preliminary" if is_open else "final",
        "code": {"coding": coding, "text": alarm_name(alert.kind)},
        "severity": _SEVERITY[alert.priority],
        "patient": _patient(alert.patient),
        "author": {"display": "ecg-monitor"},
        "detail": f"{alert.state}: {words(alert)}",
    }
    if _DATE_TIME.fullmatch(alert.wall_time):
        if alert.state == "cleared":
            found["identifiedPeriod"] = {"end": alert.wall_time}
        else:
            found["identifiedDateTime"] = alert.wall_time
    if alert.why:
        found["evidence"] = [{"code": [{"text": one} for one in alert.why]}]
    if alert.state in ("acknowledged", "marked"):
        found["mitigation"] = [{"action": {"text": found["detail"]}}]
    return found


def _observation(technical: Technical) -> Resource:
    found: Resource = {
        "resourceType": "Observation",
        "identifier": [_identifier(*identity(technical))],
        "status": "final",
        "code": {
            "coding": [_own_code(technical.event)],
            "text": technical.event.replace("_", " "),
        },
        "subject": _patient(technical.patient),
        "device": {"display": "ecg-monitor"},
        "valueBoolean": technical.state == "onset",
    }
    if _DATE_TIME.fullmatch(technical.wall_time):
        found["effectiveDateTime"] = technical.wall_time
    if text := words(technical).strip():
        found["note"] = [{"text": text}]
    return found


def _own_code(kind: str) -> Resource:
    return {"system": f"{SYSTEM}:kind", "code": kind, "display": kind.replace("_", " ")}


def _identifier(system: str, value: str) -> Resource:
    return {"system": system, "value": value}


def _patient(name: str) -> Resource:
    """Return a logical reference: the monitor knows no patient of the server's."""
    return {"identifier": _identifier(f"{SYSTEM}:patient", name), "display": name}
