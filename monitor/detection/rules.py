"""The alert rules: a small TOML file, checked, with defaults that print themselves explained."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from monitor.errors import InvalidOption
from monitor.settings import Rules
from monitor.text_file import unmarked

MAX_BYTES = 1 << 16
EXPLANATIONS = {
    "episode": "Anomalous beats become one episode: onset, ongoing, cleared.",
    "n": "It begins when n of the last m judged beats are anomalous; fewer are pending.",
    "m": "1 of 1 alerts on every anomalous beat; 2 of 3 ignores a lone artefact.",
    "clear_after": "This many calm beats in a row end it; 5 makes bigeminy one episode.",
    "clear_ratio": "Hysteresis: a beat is calm up to this share of the threshold.",
    "repeat_beats": "It is reported again (ongoing) after this many further anomalous beats.",
    "run_beats": "This many anomalous beats in a row make it high priority.",
    "latch": "A high one waits to be acknowledged (key a, `ecg-monitor ack`), even when over.",
    "technical": "The monitor itself; the signal's own technical alerts have no settings.",
    "stage_down_s": "stage_down: seconds without a message from producer or segmenter.",
    "overload_lag_s": "overload: beats come so late in 3 heartbeats, or some are shed.",
}


def load_rules(path: Path) -> Rules:
    """Read a rules file; InvalidOption, with the place in it, if it cannot be used."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidOption(
            f"--rules {path} cannot be read: {error.strerror}; `ecg-monitor rules` prints such a "
            "file"
        ) from error
    if len(content) > MAX_BYTES:
        raise InvalidOption(
            f"--rules {path} has more than {MAX_BYTES} bytes, so it is not a file of rules; "
            "`ecg-monitor rules` prints one"
        )
    try:
        return parse_rules(content)
    except InvalidOption as error:
        raise InvalidOption(f"--rules {path}: {error}") from error


def parse_rules(content: bytes) -> Rules:
    """Check and read the bytes of a rules file; InvalidOption if they cannot be rules."""
    try:
        return msgspec.convert(tomllib.loads(unmarked(content).decode()), Rules)
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        # ValueError: no TOML, no UTF-8, or a number of more digits than Python reads.
        raise InvalidOption(f"{error}; `ecg-monitor rules` prints what can be set") from error


def rules_text(rules: Rules) -> str:
    """Return the rules as a TOML file that explains itself."""
    lines: list[str] = []
    for section in rules.__struct_fields__:
        lines += [f"# {EXPLANATIONS[section]}", f"[{section}]"]
        values = msgspec.to_builtins(getattr(rules, section))
        for name, value in values.items():
            shown = str(value).lower() if isinstance(value, bool) else repr(value)
            lines.append(f"{name} = {shown}".ljust(24) + f"# {EXPLANATIONS[name]}")
        lines.append("")
    return "\n".join(lines)
