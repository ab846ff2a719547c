"""FHIR R4: what is written is held against the models of fhir.resources, and created once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from monitor.delivery.sinks.fhir import FhirFile, open_fhir
from monitor.delivery.sinks.fhir_resources import SNOMED_CODES, resource
from monitor.delivery.sinks.sink import DeliveryFailed
from monitor.errors import InvalidOption
from monitor.wire.messages import ALARM_KINDS, Alert, Technical
from tests.messages import alarm, alert, technical
from tests.monitor.delivery.sinks.conformance import every_message
from tests.monitor.delivery.sinks.web_server import web_server


def every_kind() -> Iterator[Alert | Technical]:
    yield from every_message()
    for kind in ALARM_KINDS:
        yield alarm(kind=kind)
    yield alert(wall_time="yesterday")


@pytest.mark.filterwarnings("default")  # of the library's own
def test_each_is_a_resource_of_its_model() -> None:
    """R4B, whose DetectedIssue and Observation are those of R4; unknown fields are errors there."""
    issues = pytest.importorskip("fhir.resources.R4B.detectedissue")
    observations = pytest.importorskip("fhir.resources.R4B.observation")
    models: dict[str, Any] = {
        "DetectedIssue": issues.DetectedIssue,
        "Observation": observations.Observation,
    }
    for message in every_kind():
        found = resource(message)
        model = models[found["resourceType"]].model_validate(found)
        again = json.loads(model.model_dump_json(exclude_none=True))
        assert again["code"] == found["code"]
        assert again["identifier"] == found["identifier"]
        with pytest.raises(ValueError, match=r"[Ee]xtra|permitted"):
            models[found["resourceType"]].model_validate({**found, "surprise": 1})


def test_an_alarm_is_an_issue_with_a_code() -> None:
    """Of SNOMED CT where that has one, and of our own; what lasts is preliminary."""
    found = resource(alarm(journal="j", id="i"))
    assert found["status"] == "preliminary"
    assert found["severity"] == "high"
    assert [one["code"] for one in found["code"]["coding"]] == ["asystole", "397829000"]
    assert found["identifier"][0]["value"] == "j:i"
    assert found["patient"]["identifier"]["value"] == "119"
    assert found["identifiedDateTime"] == "2026-01-01T00:00:00.000Z"
    over = resource(alarm(state="cleared"))
    assert over["status"] == "final"
    assert over["identifiedPeriod"] == {"end": "2026-01-01T00:00:00.000Z"}
    assert set(SNOMED_CODES) < set(ALARM_KINDS)


def test_onset_and_end_name_the_same_episode() -> None:
    """By the second identifier."""
    begins, ends = (resource(alarm(state=state)) for state in ("onset", "cleared"))
    assert begins["identifier"][1] == ends["identifier"][1]


def test_a_technical_alert_is_an_observation() -> None:
    """Of which the value says whether it lasts."""
    found = resource(technical())
    assert (found["resourceType"], found["valueBoolean"]) == ("Observation", True)
    assert found["note"] == [{"text": "too noisy to be read"}]
    assert resource(technical(state="cleared", text=" "))["valueBoolean"] is False
    assert "note" not in resource(technical(text=" "))


def test_a_server_creates_each_alert_once() -> None:
    """Under the resource's type; the condition names the alert's identity."""
    with web_server() as server:
        server.status = 201
        sink = open_fhir(f"{server.url}/fhir/")
        sink.send(alarm(journal="j", id="i"))
        sink.send(technical(journal="j", id="t"))
        issue, observation = server.taken()
    assert (issue.path, observation.path) == ("/fhir/DetectedIssue", "/fhir/Observation")
    assert issue.headers["If-None-Exist"] == "identifier=urn%3Aecg-monitor%3Aalert%7Cj%3Ai"
    assert issue.headers["Content-Type"] == "application/fhir+json"
    assert json.loads(issue.body) == resource(alarm(journal="j", id="i"))


def test_what_a_server_says_is_shown() -> None:
    """Its OperationOutcome."""
    with web_server() as server:
        server.status, server.body = 422, b'{"resourceType":"OperationOutcome"}'
        with pytest.raises(DeliveryFailed, match="422") as caught:
            open_fhir(server.url).send(alert())
    assert "OperationOutcome" in caught.value.detail


@pytest.mark.parametrize("text", ["ftp://host/fhir", "https://", "https://host/fhir?a=1"])
def test_what_is_no_server(text: str) -> None:
    """Refused at the start."""
    with pytest.raises(InvalidOption, match="--fhir"):
        open_fhir(text)


def test_a_file_has_a_resource_a_line(tmp_path: Path) -> None:
    """For its owner alone; a second run goes on in it."""
    path = tmp_path / "alerts.ndjson"
    FhirFile(path).send(alert(id="a"))
    FhirFile(path).send(technical(id="b"))
    types = [json.loads(line)["resourceType"] for line in path.read_text().splitlines()]
    assert types == ["DetectedIssue", "Observation"]
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cut", [1, 10, 40, 300])
def test_half_a_line_of_a_killed_process_goes(cut: int, tmp_path: Path) -> None:
    """The alert comes again; lines before stay. A whole line without its end gets one."""
    path = tmp_path / "alerts.ndjson"
    sink = FhirFile(path)
    sink.send(alert(id="a"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:cut])
    FhirFile(path).send(alert(id="b"))
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2
    path.write_bytes(whole.rstrip())
    FhirFile(path).send(alert(id="b"))
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 2


def test_a_file_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """Nothing is written behind it."""
    path = tmp_path / "notes.txt"
    path.write_text("my notes")
    with pytest.raises(InvalidOption, match="something else"):
        FhirFile(path)
    assert path.read_text() == "my notes"
    with pytest.raises(InvalidOption, match="cannot be written"):
        FhirFile(tmp_path / "nowhere" / "a.ndjson")


def test_a_full_disk_is_a_failure_that_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And leaves no half line."""
    path = tmp_path / "alerts.ndjson"
    sink = FhirFile(path)
    sink.send(alert(id="a"))
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(DeliveryFailed, match="No space left"):
            sink.send(alert(id="b"))
    assert path.read_bytes() == before
    sink.send(alert(id="b"))
    assert len(path.read_text().splitlines()) == 2
