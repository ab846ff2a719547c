"""The published JSON Schemas: as the types are, and as real messages are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from monitor.wire.codec import encode_message
from monitor.wire.messages import AlarmStatus, Alert, Message
from tests.messages import alarm, alert, beat_scored, patient_status, status, technical, wave
from tools.schemas import FOLDER, field_comments, main, schema_of, stale

MESSAGES: list[Message] = [
    alert(),
    alert(state="cleared", priority="low", delay_ms=None, beat=[], reconstruction=[]),
    alarm(),
    technical(),
    technical(inhibits=["asystole", "pause"]),
    beat_scored(),
    beat_scored(loss=None, threshold=None, rr_before_ms=None, quality=["noisy"]),
    status(),
    status(patients=[], speed=None),
    status(
        patients=[
            patient_status(
                alarms=[AlarmStatus("asystole", "high", 2340, 6.5, lasts=True, latched=True)],
                inhibited=["pause"],
            )
        ]
    ),
    wave(),
]
JSON_TYPES: dict[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}


def violations(schema: dict[str, Any], value: Any, root: dict[str, Any], at: str) -> Iterator[str]:
    """Yield where a value is not as a schema says; knows the words that our schemas use."""
    if "$ref" in schema:
        yield from violations(root["$defs"][schema["$ref"].split("/")[-1]], value, root, at)
        return
    if "anyOf" in schema:
        if all(list(violations(choice, value, root, at)) for choice in schema["anyOf"]):
            yield f"{at}: {value!r} is none of the choices"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is not in {schema['enum']}"
    kind = schema.get("type")
    is_bool = isinstance(value, bool)
    if kind is not None and (
        not isinstance(value, JSON_TYPES[kind]) or (is_bool != (kind == "boolean"))
    ):
        yield f"{at}: {value!r} is no {kind}"
    elif kind == "object":
        yield from (f"{at}: {name} is missing" for name in schema["required"] if name not in value)
        for name, part in value.items():
            yield from violations(schema["properties"].get(name, {}), part, root, f"{at}.{name}")
    elif kind == "array":
        if len(value) > schema.get("maxItems", len(value)):
            yield f"{at}: {len(value)} items"
        for index, item in enumerate(value):
            yield from violations(schema["items"], item, root, f"{at}[{index}]")
    elif kind == "string":
        within = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value))
        if not within or not re.search(ends_at_end(schema.get("pattern", "")), value):
            yield f"{at}: {value!r} is too long, too short or of other characters"
    elif kind in ("integer", "number"):
        low, high = schema.get("minimum", value), schema.get("maximum", value)
        if not low <= value <= high or value <= schema.get("exclusiveMinimum", value - 1):
            yield f"{at}: {value!r} is out of bounds"


def ends_at_end(pattern: str) -> str:
    """Return a JSON Schema pattern for Python, whose `$` matches before a last newline too."""
    return re.sub(r"\$$", r"\\Z", pattern)


def published(kind: str) -> dict[str, Any]:
    """Return a schema as it lies in docs/."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{kind}.json").read_text())
    return schema


def found(message: dict[str, Any]) -> list[str]:
    """Return where a message departs from the published schema of its type."""
    schema = published(message["type"])
    return list(violations(schema, message, schema, message["type"]))


def test_the_published_schemas_are_those_of_the_types() -> None:
    """One file a message type, none stale; `python -m tools.schemas` writes them anew."""
    assert stale(FOLDER) == []
    assert {schema.stem for schema in FOLDER.glob("*.json")} == {
        "samples",  # the one that comes from the world
        *(struct.__struct_config__.tag for struct in get_args(Message)),
    }


@pytest.mark.parametrize("message", MESSAGES, ids=lambda one: type(one).__name__)
def test_encoded_messages_are_as_their_schema_says(message: Message) -> None:
    """What is sent has all the required fields, of the right types, within bounds."""
    assert found(json.loads(encode_message(message)[1])) == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"state": "began"}, "state"),
        ({"seq": -1}, "seq"),
        ({"seq": True}, "seq"),
        ({"seq": 1.5}, "seq"),
        ({"loss": "52"}, "loss"),
        ({"ratio": "2"}, "ratio"),
        ({"kind": "fatigue"}, "kind"),
        ({"patient": ""}, "patient"),
        ({"patient": "119\n"}, "patient"),
        ({"patient": "x" * 129}, "patient"),
        ({"beat": [0.0, "a"]}, "beat[1]"),
        ({"schema": 3}, "schema"),
    ],
)
def test_a_message_that_is_none_departs_from_the_schema(change: dict[str, Any], named: str) -> None:
    """A client that checks against the schema finds what is wrong, and where."""
    message = json.loads(encode_message(alert())[1]) | change
    assert [one.split(":")[0] for one in found(message)] == [f"alert.{named}"]


def test_a_missing_field_departs_from_the_schema() -> None:
    """All fields are required: the sender writes null rather than nothing."""
    message = json.loads(encode_message(alert())[1])
    del message["seq"]
    assert found(message) == ["alert: seq is missing"]


def test_a_newer_sender_may_add_fields() -> None:
    """The schema leaves room for fields that this version does not know."""
    assert found(json.loads(encode_message(alert())[1]) | {"mood": ["calm"]}) == []


def test_comments_beside_fields_are_their_descriptions() -> None:
    """Also those of the fields that a type inherits; and a described field keeps its bounds."""
    assert field_comments(Alert)["ratio"] == "loss / threshold"
    sample = schema_of(Alert)["$defs"]["Alert"]["properties"]["sample"]
    assert "R peak" in sample["description"]
    assert sample["minimum"] == 0


def test_check_names_stale_missing_and_superfluous_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--check writes nothing; without it the files are made, and are then right."""
    folder = ["--folder", str(tmp_path)]
    (tmp_path / "alert.json").write_text("{}")
    assert main(["--check", *folder]) == 1
    said = capsys.readouterr().err
    assert "alert.json" in said
    assert "wave.json" in said
    assert (tmp_path / "alert.json").read_text() == "{}"
    assert main(folder) == 0
    assert main(["--check", *folder]) == 0
    (tmp_path / "old.json").write_text("{}")
    assert main(["--check", *folder]) == 1
