"""The documents speak of files, requests and endpoints that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from monitor.settings import DEFAULT_ALERTS, DEFAULT_BEATS, DEFAULT_SAMPLES, DEFAULT_WAVE
from monitor.sockets import requests_endpoint
from monitor.wire import Page, Request

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
        assert "@@" not in document.read_text(), document


def test_the_architecture_names_every_file() -> None:
    """Who looks for what a file is for finds it under "Rooms"."""
    text = (ROOT / "docs" / "ARCHITECTURE.md").read_text()
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    unnamed = {
        str(path.relative_to(ROOT))
        for path in files
        if not path.name.startswith("__")
        and path.parent.name != "evaluation"
        and path.stem != "errors"
        and f"`{path.stem}`" not in text
    }
    assert unnamed == set()


def test_requests_shown_are_requests() -> None:
    """Each JSON request of the protocol's page is taken by the decoder, and each kind is shown."""
    shown = re.findall(r'`(\{"type":"(?:replay|seek|threshold|relearn|ack)".*?\})`', PROTOCOL)
    decoded = [msgspec.json.decode(text, type=Request) for text in shown]
    assert {type(request) for request in decoded} == set(get_args(Request))


def test_the_page_shown_has_the_fields_of_a_page() -> None:
    """What a client will look for in the answer is named as it is sent."""
    for field in msgspec.structs.fields(Page):
        assert f'"{field.encode_name}":' in PROTOCOL


def test_endpoints_shown_are_the_defaults() -> None:
    """Ports in the protocol's page are those of the settings."""
    for endpoint in (DEFAULT_SAMPLES, DEFAULT_BEATS, DEFAULT_WAVE, DEFAULT_ALERTS):
        assert f"`{endpoint}`" in PROTOCOL
    assert f'"{requests_endpoint(DEFAULT_ALERTS)}"' in PROTOCOL
