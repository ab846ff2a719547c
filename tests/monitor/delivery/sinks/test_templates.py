"""Templates: JSON whose texts name parts of an alert."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.delivery.sinks.templates import MAX_BYTES, NAMES, SHIPPED, Template, load_template
from monitor.errors import InvalidOption
from tests.messages import alarm, alert, technical
from tests.monitor.delivery.sinks.conformance import every_message

PAGE = Path(__file__).parents[4] / "docs" / "ROUTING.md"


def filled(tree: object, **changes: object) -> object:
    return json.loads(Template(tree).body(alert(**changes)))


def test_names_are_replaced_in_texts_alone() -> None:
    """In lists and objects too; not in keys, numbers or the form."""
    tree = {"$patient": ["$patient and ${record}", 1, None, True], "cost": "$$5"}
    assert filled(tree) == {"$patient": ["119 and 119", 1, None, True], "cost": "$5"}


def test_a_name_alone_is_the_value_itself() -> None:
    """A number stays a number, a list a list, and what is not known null; in a text it is --."""
    tree = ["$loss", "${leads}", "$score", "loss $loss, score $score, leads $leads", "$alert"]
    found = filled(tree, leads=["MLII", "V5"])
    assert isinstance(found, list)
    assert found[:4] == [52.0, ["MLII", "V5"], None, "loss 52, score --, leads MLII, V5"]
    assert found[4]["type"] == "alert"


@given(st.text())
def test_an_alert_cannot_change_the_form(text: str) -> None:
    """Quotes, backslashes, dollars, controls: a text is a text."""
    tree = {"a": "$text", "b": ["<$text>"]}
    body = Template(tree).body(technical(text=text, patient="$text"))
    found = json.loads(body)
    assert list(found) == ["a", "b"]
    assert found["b"] == [f"<{found['a']}>"]
    assert found["a"].isprintable()


def test_every_name_has_a_value_of_every_message() -> None:
    """And each is explained in docs/ROUTING.md."""
    for message in every_message():
        found = json.loads(Template({name: f"${name}" for name in NAMES}).body(message))
        assert set(found) == set(NAMES)
        assert found["priority"] in ("high", "medium", "low", "technical")
        assert found["title"]
        assert isinstance(found["urgency"], int)
    table = PAGE.read_text().split("| name | what it is |")[1].split("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)) == dict(NAMES)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_names_what_happened(name: str) -> None:
    """Patient, alarm and time are in the body."""
    body = SHIPPED[name].with_values(topic="t").body(alarm()).decode()
    for text in ("119", "ASYSTOLE", "no QRS complex for 3.5 s", "00:00:10.000"):
        assert text in body, text


def test_slack_makes_no_mention_of_a_name() -> None:
    """`<!channel>` would call everybody."""
    body = json.loads(SHIPPED["slack"].body(alarm(patient="<!channel> & co")))
    assert "&lt;!channel&gt; &amp; co" in body["text"]


def test_teams_gets_a_message_with_a_card() -> None:
    """As its workflows take it, with text runs, which obey no Markdown."""
    body = json.loads(SHIPPED["teams"].body(alarm(text="[x](http://evil.example)")))
    (attachment,) = body["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    blocks = attachment["content"]["body"]
    assert {block["type"] for block in blocks} == {"RichTextBlock"}
    assert "[x](http://evil.example)" in blocks[1]["inlines"][0]["text"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"text": "$pateint"}', r"\$pateint is no name.*patient, record"),
        (b'{"text": ["a", {"b": "$5"}]}', r"write \$\$"),
        (b'{"text": "${patient"}', r"write \$\$"),
        (b'{"text": "$patient"', "line 1 column"),
        (b'{"text": NaN}', "NaN is no JSON"),
        (b"\xff\xfe\xff", "template"),
        (b"", "line 1 column 1"),
        (b"[" * 50_000, "template"),
        (b" " * (MAX_BYTES + 1), "more than"),
    ],
)
def test_a_template_that_cannot_be_used(content: bytes, said: str, tmp_path: Path) -> None:
    """Is refused at the start, with what there is instead."""
    path = tmp_path / "t.json"
    path.write_bytes(content)
    with pytest.raises(InvalidOption, match=said):
        load_template(str(path))


@pytest.mark.parametrize("name", ["nowhere.json", ".", "a\0b"])
def test_a_template_that_is_not_there(name: str) -> None:
    """The error lists those that ship."""
    with pytest.raises(InvalidOption, match="slack, ntfy, teams"):
        load_template(name)


def test_a_byte_order_mark_is_no_matter(tmp_path: Path) -> None:
    """As Windows editors write it."""
    path = tmp_path / "t.json"
    path.write_bytes(b"\xef\xbb\xbf" + b'"$patient"')
    assert load_template(str(path)).body(alert()) == b'"119"'
