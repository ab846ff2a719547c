"""The body of a web address's POST as a template: JSON whose texts name parts of an alert.

    {"text": "$title at $time", "urgency": "$urgency"}

The JSON is read first, and names are replaced in its texts after that; then all of it is written
anew. So what an alert says is escaped right, whatever it is, and cannot change the JSON's form.
A text that is one name alone, as `"$urgency"`, becomes the value itself: a number, a list or null.
Names are those of `NAMES`, written `$name` or `${name}`; `$$` is a dollar sign.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from monitor.errors import InvalidOption
from monitor.plain import alarm_name, alarm_words, clock, plain_line
from monitor.text import counted, harmless
from monitor.text_file import unmarked
from monitor.wire.messages import Alert, Technical, joined_leads, measured

MAX_BYTES = 1 << 16
Json: TypeAlias = Any
_URGENCY = {"high": 5, "medium": 4, "low": 3}
_TECHNICAL_URGENCY, _OVER_URGENCY = 3, 2

# What a template may name.
NAMES: Mapping[str, str] = {
    "title": "what happened, to whom, in a few words",
    "text": "what happened, in words",
    "line": "the line that `subscribe` prints",
    "time": "time in the record, hh:mm:ss.mmm",
    "time_s": "the same in seconds",
    "wall_time": "when the alert was made, UTC",
    "patient": "the patient's name",
    "record": "the record's name",
    "lead": "the lead, or leads with commas between them",
    "leads": "of an alert of beats: leads above their thresholds, a list",
    "type": "`alert` or `technical`",
    "kind": "`anomalous_beats`, a named alarm such as `asystole`, or a technical alert's event",
    "state": "`onset`, `ongoing`, `cleared`, `acknowledged` or `marked`",
    "priority": "`high`, `medium` or `low`; `technical` of a technical alert",
    "urgency": "5, 4, 3 by priority, 3 of a technical alert, 2 once it is over or seen to",
    "loss": "of beats: the reconstruction loss; otherwise null, as those below",
    "threshold": "the threshold of the loss",
    "score": "what is held against 1",
    "rr_before_ms": "the RR interval before the beat",
    "rr_after_ms": "the RR interval after it",
    "episode_beats": "anomalous beats in the episode so far",
    "duration_s": "how long the episode has lasted",
    "family": "the number of the family of beats",
    "word": "of `marked`: what a person said of the family",
    "by": "of `marked`: who said so",
    "inhibits": "of a technical alert: the named alarms that it hides, a list",
    "id": "the identity of the alert: the same when it comes again",
    "seq": "its number",
    "journal": "the journal in which it has that number",
    "alert": "the whole alert, as in docs/schema",
}


class _Text(string.Template):
    idpattern = r"(?a:[a-z_][a-z0-9_]*)"
    flags = re.NOFLAG


class Template:
    """A template; `body` fills it in.

    Parameters
    ----------
    tree : object
        What the JSON holds.
    escape : callable
        Applied to texts of the alert, for what the reader of the body would obey.
    given : mapping of str
        Further names and their values.
    """

    def __init__(
        self,
        tree: Json,
        escape: Callable[[str], str] = str,
        given: Mapping[str, str] | None = None,
    ) -> None:
        self._tree = tree
        self._escape = escape
        self._given = dict(given or {})

    def with_values(self, **given: str) -> Template:
        """Return the same with further names."""
        return Template(self._tree, self._escape, {**self._given, **given})

    def body(self, message: Alert | Technical) -> bytes:
        """Return the body for an alert: JSON in UTF-8."""
        filled = _filled(self._tree, {**values(message), **self._given}, self._escape)
        return json.dumps(filled, ensure_ascii=True, allow_nan=False).encode()


def load_template(name: str) -> Template:
    """Return the template that ships under a name, or that of a file.

    Raises
    ------
    InvalidOption
        If there is none, it is no JSON, or names what there is not.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidOption(
            f"--webhook {name[:100]}:…: there is no template of that name, and no such file "
            f"({why}); there are {', '.join(SHIPPED)}"
        ) from error
    if len(content) > MAX_BYTES:
        raise InvalidOption(f"--webhook: template {name} has more than {MAX_BYTES} bytes")
    try:
        tree = json.loads(unmarked(content).decode(), parse_constant=_no_constant)
        for text in _texts(tree):
            _check(text)
    except (ValueError, RecursionError) as error:
        raise InvalidOption(
            f"--webhook: template {name}: {error or 'nested too deeply'}"
        ) from error
    return Template(tree)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON; write null or a number")


def _check(text: str) -> None:
    """Raise ValueError where a text of a template cannot be filled in."""
    template = _Text(text)
    if not template.is_valid():
        raise ValueError(f"{text[:60]!r} has a $ before no name; write $$ for a dollar sign")
    for name in template.get_identifiers():
        if name not in NAMES:
            raise ValueError(f"${name[:40]} is no name of an alert; there are {', '.join(NAMES)}")


def _texts(tree: Json) -> Iterator[str]:
    """Yield the texts in which names are replaced: all but the keys of objects."""
    match tree:
        case str():
            yield tree
        case list():
            for one in tree:
                yield from _texts(one)
        case dict():
            for one in tree.values():
                yield from _texts(one)


def _filled(tree: Json, named: Mapping[str, object], escape: Callable[[str], str]) -> Json:
    match tree:
        case str():
            return _filled_text(tree, named, escape)
        case list():
            return [_filled(one, named, escape) for one in tree]
        case dict():
            return {key: _filled(one, named, escape) for key, one in tree.items()}
    return tree


def _filled_text(text: str, named: Mapping[str, object], escape: Callable[[str], str]) -> Json:
    template = _Text(text)
    names = template.get_identifiers()
    if len(names) == 1 and text in (f"${names[0]}", f"${{{names[0]}}}"):
        value = named[names[0]]
        return escape(value) if isinstance(value, str) else value
    return template.substitute({name: escape(_as_text(named[name])) for name in names})


def _as_text(value: object) -> str:
    match value:
        case None:
            return "--"
        case str():
            return value
        case float():
            return f"{value:.6g}"
        case list():
            return ", ".join(map(str, value))
        case dict():
            return json.dumps(value)
    return str(value)


def values(message: Alert | Technical) -> dict[str, object]:
    """Return what a template's names stand for."""
    kind = message.kind if isinstance(message, Alert) else message.event
    found: dict[str, object] = {
        "title": title(message),
        "text": words(message),
        "line": plain_line(message) or "",
        "time": clock(message.time_s),
        "type": "alert" if isinstance(message, Alert) else "technical",
        "kind": kind,
        "priority": message.priority if isinstance(message, Alert) else "technical",
        "urgency": urgency(message),
        "alert": msgspec.to_builtins(message),
    }
    return {
        name: found[name] if name in found else msgspec.to_builtins(getattr(message, name, None))
        for name in NAMES
    }


def title(message: Alert | Technical) -> str:
    """Return what happened and to whom, in a few words."""
    if isinstance(message, Technical):
        what = f"technical: {message.event.replace('_', ' ')}"
    elif message.kind == "anomalous_beats":
        what = f"{message.priority}: anomalous beats"
    else:
        what = f"{message.priority}: {alarm_name(message.kind).upper()}"
    return f"{harmless(message.patient)}: {what} {message.state}"


def words(message: Alert | Technical) -> str:
    """Return what happened, in words."""
    if isinstance(message, Technical):
        return harmless(message.text, 500)
    if message.state == "marked":
        by = f" by {harmless(message.by)}" if message.by else ""
        return f"family {message.family}: {message.word or 'taken back'}{by}"
    of_beat = measured(message)
    if of_beat is None:
        return alarm_words(message.kind, message.text)
    leads = f", {harmless(joined_leads(message.leads))}" if message.leads else ""
    count = counted(message.episode_beats, "beat")
    return (
        f"{count}, {of_beat.times_above:.1f} times above the bound, loss {of_beat.loss:.1f} of "
        f"{of_beat.threshold:.1f}{leads}"
    )


def urgency(message: Alert | Technical) -> int:
    """Return 5, 4, 3 by priority, 3 of a technical alert, 2 once it is over or seen to."""
    if message.state not in ("onset", "ongoing"):
        return _OVER_URGENCY
    return _URGENCY[message.priority] if isinstance(message, Alert) else _TECHNICAL_URGENCY


def _of_slack(text: str) -> str:
    """Return a text of which Slack makes no mention and no link."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# Slack: https://docs.slack.dev/messaging/formatting-message-text/. ntfy: publish as JSON,
# https://docs.ntfy.sh/publish/. Teams: an adaptive card in a message, as its workflows take it; a
# text run shows what it holds as it is, where a text block would obey Markdown.
SHIPPED: Mapping[str, Template] = {
    "slack": Template({"text": "$title\n$text\n$time in $record, $wall_time"}, _of_slack),
    "ntfy": Template(
        {
            "topic": "$topic",
            "title": "$title",
            "message": "$text\n$time in $record",
            "priority": "$urgency",
            "tags": ["$kind", "$state"],
        }
    ),
    "teams": Template(
        {
            "type": "message",
            "attachments": [
                {
                    "contentType": "application/vnd.microsoft.card.adaptive",
                    "content": {
                        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                        "type": "AdaptiveCard",
                        "version": "1.4",
                        "body": [
                            {
                                "type": "RichTextBlock",
                                "inlines": [
                                    {"type": "TextRun", "text": "$title", "weight": "bolder"}
                                ],
                            },
                            {
                                "type": "RichTextBlock",
                                "inlines": [{"type": "TextRun", "text": "$text"}],
                            },
                            {
                                "type": "RichTextBlock",
                                "inlines": [
                                    {
                                        "type": "TextRun",
                                        "text": "$time in $record, $wall_time",
                                        "isSubtle": True,
                                    }
                                ],
                            },
                        ],
                    },
                }
            ],
        }
    ),
}
