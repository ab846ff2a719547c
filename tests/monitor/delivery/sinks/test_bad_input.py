"""Whatever addresses, templates and secrets hold: they are used or refused in words."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.delivery.sinks.command import Command
from monitor.delivery.sinks.credentials import SecretsFile
from monitor.delivery.sinks.fhir import FhirServer
from monitor.delivery.sinks.mqtt import parse_topic
from monitor.delivery.sinks.templates import NAMES, load_template
from monitor.delivery.sinks.webhook import Webhook
from monitor.errors import InvalidOption
from tests.messages import alarm, alert, technical

TEXTS = st.text() | st.lists(
    st.sampled_from([*(f"${name}" for name in NAMES), "${", "}", "$$", "$", '"', "\\", "x"])
).map("".join)
TREES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


@settings(deadline=None)
@given(TREES)
def test_a_template_is_filled_or_refused(tmp_path_factory: object, tree: object) -> None:
    """What is filled is JSON of the same form."""
    path = Path(str(tmp_path_factory.mktemp("t"))) / "t.json"  # type: ignore[attr-defined]
    path.write_text(json.dumps(tree))
    with contextlib.suppress(InvalidOption):
        template = load_template(str(path))
        for message in (alert(), alarm(patient='"}'), technical(text="$x ${y} \\")):
            filled = json.loads(template.body(message))
            assert not isinstance(tree, list | dict) or isinstance(filled, type(tree))
            assert not isinstance(tree, list | dict) or len(filled) == len(tree)


@settings(deadline=None)
@given(st.binary() | st.text().map(str.encode))
@example(b'["a"]\nuser = "\\ud800"')
def test_secrets_are_read_or_refused(tmp_path_factory: object, content: bytes) -> None:
    """Nothing else is raised."""
    path = Path(str(tmp_path_factory.mktemp("s"))) / "s.toml"  # type: ignore[attr-defined]
    path.touch(mode=0o600)
    path.write_bytes(content)
    with contextlib.suppress(InvalidOption):
        SecretsFile(path).of("host")


@settings(deadline=None, max_examples=60)  # for https certificates are loaded
@given(
    st.text()
    | st.builds(
        "{}{}{}".format,
        st.sampled_from(["mqtt://", "https://", "slack:http://", "ntfy:https://h/", "[", "://"]),
        st.text(),
        st.sampled_from(["", "/t", "?retain=1", "?client", "#", "@h/t", ":x", ":99999/t", "]"]),
    )
)
@example("http://h:0/")
@example("https://\ud800/")
def test_addresses_are_taken_or_refused(text: str) -> None:
    """Nothing is sent, and nothing else is raised."""
    for opened in (Webhook, parse_topic, FhirServer, Command):
        with contextlib.suppress(InvalidOption):
            opened(text)
