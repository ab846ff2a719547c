"""The alert rules: a small TOML file, checked, with defaults that print themselves explained."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
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
    "alarms": "Named alarms: high, medium, low, or off; where all are off, none is measured.",
    "asystole": "No QRS complex in any lead that can be read.",
    "ventricular_fibrillation": "An oscillation instead of QRS complexes.",
    "ventricular_tachycardia": "A long run of ventricular beats.",
    "extreme_tachycardia": "Too fast for anybody.",
    "extreme_bradycardia": "Too slow for anybody.",
    "ventricular_run": "A short run of ventricular beats.",
    "pause": "An interval without a beat.",
    "tachycardia": "Faster than the patient's limit.",
    "bradycardia": "Slower than the patient's limit.",
    "irregular_rhythm": "Irregularly irregular intervals, as in fibrillation of the atria.",
    "limits": "When they begin and end.",
    "asystole_s": "asystole: seconds without the energy of a complex.",
    "ventricular_run_beats": "ventricular_run: beats in a row.",
    "ventricular_tachycardia_beats": "ventricular_tachycardia: beats in a row.",
    "ventricular_per_minute": "Both: beats a minute, and more.",
    "extreme_tachycardia_per_minute": "extreme_tachycardia: beats a minute, and more.",
    "extreme_tachycardia_beats": "extreme_tachycardia: beats so fast.",
    "extreme_bradycardia_per_minute": "extreme_bradycardia: beats a minute, and fewer.",
    "extreme_bradycardia_beats": "extreme_bradycardia: beats so slow.",
    "rate_tolerance": "A rate counts as beyond its limit from this share before it.",
    "rate_hysteresis": "A lasting alarm of a rate ends within its limit by this share.",
    "pause_s": "pause: seconds, or ...",
    "pause_ratio": "... so many usual intervals, whichever is shorter.",
    "tachycardia_per_minute": "tachycardia: beats a minute, or a fifth above the rate learnt.",
    "bradycardia_per_minute": "bradycardia: beats a minute, or a fifth below the rate learnt.",
    "rate_beats": "Both: beats so fast or so slow.",
    "irregular_beats": "irregular_rhythm: intervals that are looked at.",
    "clear_s": "An alarm ends so many seconds after its condition.",
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
    return "\n".join(
        line
        for section in rules.__struct_fields__
        for line in _section(section, section, getattr(rules, section))
    )


def _section(name: str, path: str, values: msgspec.Struct) -> Iterator[str]:
    """Yield the lines of a section, then those of the sections in it."""
    yield f"# {EXPLANATIONS[name]}"
    yield f"[{path}]"
    fields = {one: getattr(values, one) for one in values.__struct_fields__}
    plain = {one: _toml(value) for one, value in fields.items() if not _is_section(value)}
    width = max(22, *(len(f"{one} = {shown}") for one, shown in plain.items())) + 2
    for one, shown in plain.items():
        yield f"{one} = {shown}".ljust(width) + f"# {EXPLANATIONS[one]}"
    yield ""
    for one, value in fields.items():
        if _is_section(value):
            yield from _section(one, f"{path}.{one}", value)


def _is_section(value: object) -> bool:
    return isinstance(value, msgspec.Struct)


def _toml(value: object) -> str:
    if isinstance(value, str):
        return f'"{value}"'
    return str(value).lower() if isinstance(value, bool) else repr(value)
