"""The documents speak of files, requests and endpoints that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from monitor.settings import DEFAULT_ALERTS, DEFAULT_BEATS, DEFAULT_SAMPLES, DEFAULT_WAVE
from monitor.wire.messages import ALARM_KINDS, AlarmStatus, Page, Request
from monitor.wire.sockets import requests_endpoint

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").glob("*.md"))
PROTOCOL = (ROOT / "docs" / "PROTOCOL.md").read_text()
PACKAGES = ("monitor", "segmenter", "model")


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_files_named_exist(document: Path) -> None:
    """A file of ours that a document names in code marks is there."""
    named = re.findall(
        r"`((?:monitor|segmenter|model|tools|tests|docs)/[\w./-]+)`", document.read_text()
    )
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


def test_nothing_is_left_to_be_filled_in() -> None:
    """No document holds a place for a figure that never came."""
    for document in [*DOCS, ROOT / "README.md", ROOT / "CHANGELOG.md"]:
        assert re.findall(r"@@|@[A-Z]{2,}@", document.read_text()) == [], document


def test_the_architecture_shows_every_folder() -> None:
    """The tree under "Rooms" holds each folder of the packages, and none that is gone."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    tree = text.split("## Rooms")[1].split("Each file's first line")[0]
    shown = set(re.findall(r"^ +(\w+)/ ", tree, re.MULTILINE))
    folders = {
        folder.name
        for package in PACKAGES
        for folder in [ROOT / package, *(ROOT / package).rglob("*/")]
        if folder.name != "__pycache__"
    }
    assert folders | {"tools", "tests"} == shown


def test_every_file_says_first_what_it_is_for() -> None:
    """The tree names folders; a file's own first line says the rest, where the file holds any."""
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text()
            assert not text or ast.get_docstring(ast.parse(text)), path


def test_requests_shown_are_requests() -> None:
    """Each JSON request of the protocol's page is taken by the decoder, and each kind is shown."""
    shown = re.findall(r'`(\{"type":"(?:replay|seek|threshold|relearn|ack|mark)".*?\})`', PROTOCOL)
    decoded = [msgspec.json.decode(text, type=Request) for text in shown]
    assert {type(request) for request in decoded} == set(get_args(Request))


def test_the_page_shown_has_the_fields_of_a_page() -> None:
    """What a client will look for in the answer is named as it is sent."""
    for field in msgspec.structs.fields(Page):
        assert f'"{field.encode_name}":' in PROTOCOL


def test_every_named_alarm_is_explained() -> None:
    """Each kind has its row in docs/ALARMS.md, in the table of conditions and priorities."""
    page = (ROOT / "docs" / "ALARMS.md").read_text()
    table = page.split("## The alarms")[1].split("## ")[0]
    assert {*re.findall(r"`(\w+)`", table)} >= {*ALARM_KINDS}


def test_what_is_told_of_named_alarms_is_explained() -> None:
    """A client finds each field of a status's alarms, and where what cannot be told stands."""
    fields = [field.encode_name for field in msgspec.structs.fields(AlarmStatus)]
    for name in (*fields, "inhibited", "inhibits", "alarms"):
        assert re.search(rf"`[^`]*\b{name}\b[^`]*`", PROTOCOL), name


def test_endpoints_shown_are_the_defaults() -> None:
    """Ports in the protocol's page are those of the settings."""
    for endpoint in (DEFAULT_SAMPLES, DEFAULT_BEATS, DEFAULT_WAVE, DEFAULT_ALERTS):
        assert f"`{endpoint}`" in PROTOCOL
    assert f'"{requests_endpoint(DEFAULT_ALERTS)}"' in PROTOCOL


def test_what_holds_a_library_s_behaviour_is_a_test() -> None:
    """Each test that docs/LIBRARIES.md names is there."""
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "LIBRARIES.md").read_text()))
    there = {
        name
        for path in (ROOT / "tests").rglob("*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert named
    assert named <= there
