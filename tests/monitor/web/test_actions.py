"""What browsers ask for, however damaged: a request, or a refusal in words."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import InvalidMessage
from monitor.web.actions import requested
from monitor.web.station import MAX_SHOWN, parse_looks
from monitor.wire.codec import decode_request, encode_json
from monitor.wire.messages import MarkRequest
from tests.fuzz_damage import damage_json, damaged

ACTIONS = [
    b'{"patient":"119","what":"ack","by":"Ada"}',
    b'{"patient":"119","what":"mark","family":3,"word":"always"}',
    b'{"patient":"119","what":"threshold","factor":0.952}',
]
LOOKS = [b'{"type":"looks","tiles":[1,2,3],"page":null}', b'{"type":"looks","tiles":[],"page":7}']


@settings(max_examples=300, deadline=None)
@given(damaged(ACTIONS, damage_json))
def test_an_action_is_a_request_that_the_monitor_takes_or_is_refused(body: bytes) -> None:
    """Whatever comes, no other error, and nothing that the monitor could not decode."""
    with contextlib.suppress(InvalidMessage):
        made = requested(body, "j1")
        assert decode_request(encode_json(made)) == made


@settings(max_examples=300, deadline=None)
@given(damaged(LOOKS, damage_json))
def test_where_a_browser_looks_is_bounded(text: bytes) -> None:
    """Whatever comes: no more patients than are drawn, or a refusal."""
    with contextlib.suppress(InvalidMessage):
        assert len(parse_looks(text).tiles) <= MAX_SHOWN


@given(st.text(max_size=64))
def test_who_acts_is_one_harmless_line(name: str) -> None:
    """The name reaches a journal and terminals."""
    action = {"patient": "119", "what": "mark", "family": 1, "word": "normal", "by": name}
    made = requested(msgspec.json.encode(action), "j1")
    assert isinstance(made, MarkRequest)
    assert made.by.isprintable()


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"\xff", b'{"patient":"","what":"ack"}'])
def test_what_is_no_action_is_said_to_be_none(body: bytes) -> None:
    """With what to do."""
    with pytest.raises(InvalidMessage, match="not an action"):
        requested(body, "j1")
