"""Alert rules are a checked file with defaults that explain themselves."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from monitor.alarm_limits import RhythmLimits
from monitor.cli.app import app
from monitor.detection.rules import load_rules, parse_rules, rules_text
from monitor.errors import InvalidOption
from monitor.settings import AlarmRules, AlertRule, Rules, TechnicalRules
from monitor.wire.messages import ALARM_KINDS

OFF = "\n".join(f'{kind} = "off"' for kind in ALARM_KINDS)
ALL_OFF = parse_rules(f"[alarms]\n{OFF}".encode())
CHANGED = Rules(
    AlertRule(n=2, m=3, latch=False, clear_ratio=0.9),
    TechnicalRules(overload_lag_s=9),
    AlarmRules(pause="off", bradycardia="high", limits=RhythmLimits(pause_s=3)),
)


@pytest.mark.parametrize("rules", [Rules(), CHANGED])
def test_what_is_printed_can_be_read(rules: Rules) -> None:
    """The printed rules are a file that says the same; every value has its explanation."""
    text = rules_text(rules)
    assert parse_rules(text.encode()) == rules
    values = [line for line in text.splitlines() if "=" in line and not line.startswith("#")]
    assert len(values) == 9 + 11 + len(RhythmLimits.__struct_fields__)
    assert all("# " in line for line in values)


def test_what_is_left_out_has_its_default() -> None:
    """An empty file is the defaults; one value changes one value."""
    assert parse_rules(b"") == Rules()
    assert parse_rules(b"[episode]\nn = 2\nm = 3\n").episode == AlertRule(n=2, m=3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_passed_over(tmp_path: Path, encoding: str) -> None:
    """Rules that a Windows editor saved are the rules."""
    path = tmp_path / "rules.toml"
    path.write_text(rules_text(CHANGED), encoding=encoding)
    assert load_rules(path) == CHANGED


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"[episode]\nnn = 2\n", "nn"),
        (b"[alarm]\n", "alarm"),
        (b"[alarms]\nasystol = 'high'\n", "asystol"),
        (b"[alarms]\nasystole = 'loud'\n", "alarms.asystole"),
        (b"[alarms]\nasystole = false\n", "alarms.asystole"),
        (b"[alarms.limits]\nasystole_s = 0\n", "asystole_s"),
        (b"[alarms.limits]\nclear_s = nan\n", "clear_s"),
        (b"[alarms.limits]\nrate_beats = 18\n", "use 2 to 17"),
        (b"[alarms.limits]\nextreme_bradycardia_per_minute = 60\n", "below bradycardia_per_minute"),
        (b"[alarms.limits]\nventricular_run_beats = 5\n", "ventricular_tachycardia_beats"),
        (b"[episode]\nn = '2'\n", "episode.n"),
        (b"[episode]\nn = 2.5\n", "episode.n"),
        (b"[episode]\nn = 4\nm = 2\n", "4 of 2"),
        (b"[technical]\nstage_down_s = 0\n", "stage_down_s"),
        (b"[technical]\nstage_down_s = nan\n", "stage_down_s"),
        (b"episode = 3\n", "episode"),
        (b"[episode", "Expected"),
        (b"\xff\xfd", "utf-8"),
        (b"a" * 70_000, "not a file of rules"),
        (b"x = " + b"[" * 5000, ""),
    ],
)
def test_what_is_no_rules_file_is_refused(tmp_path: Path, text: bytes, said: str) -> None:
    """The message names the file, the place in it, and what prints the rules."""
    path = tmp_path / "ward.toml"
    path.write_bytes(text)
    with pytest.raises(InvalidOption, match=r"ward\.toml") as error:
        load_rules(path)
    assert said in str(error.value)


def test_mangled_rules_never_crash() -> None:
    """Whatever bytes a file holds, it is read or refused."""
    chance, whole = random.Random(0), bytearray(rules_text(CHANGED).encode())
    refused = 0
    for _ in range(500):
        mangled = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            mangled[chance.randrange(len(mangled))] = chance.randrange(256)
        try:
            parse_rules(bytes(mangled))
        except InvalidOption:
            refused += 1
    assert refused > 100


def test_a_resumed_run_must_have_the_same_rules_of_beats() -> None:
    """Technical rules depend on the machine and may change."""
    assert CHANGED.identity != Rules().identity
    assert Rules(technical=TechnicalRules(stage_down_s=60)).identity == Rules().identity
    assert Rules(alarms=AlarmRules(latch=False)).identity != Rules().identity


def test_without_named_alarms_a_run_is_what_it_was_before_there_were_any() -> None:
    """Its rules have the identity that older journals hold; nothing need be measured."""
    assert ALL_OFF.alarms.on == ()
    assert ALL_OFF.identity == "loss-1-of-1 05488112"
    assert Rules().alarms.on == ALARM_KINDS
    assert "pause" not in CHANGED.alarms.on


def test_every_limit_has_bounds() -> None:
    """A limit that could be anything could keep an alarm from ever being raised."""
    for name in RhythmLimits.__struct_fields__:
        with pytest.raises(InvalidOption, match=name):
            RhythmLimits(**{name: 1e5})  # type: ignore[arg-type]


def test_the_command_prints_them(tmp_path: Path) -> None:
    """With a file, that file's; without, the defaults."""
    path = tmp_path / "ward.toml"
    path.write_text("[episode]\nclear_after = 7\n")
    assert CliRunner().invoke(app, ["rules"]).stdout == rules_text(Rules())
    assert "clear_after = 7 " in CliRunner().invoke(app, ["rules", "--rules", str(path)]).stdout
    missing = CliRunner().invoke(app, ["rules", "--rules", str(tmp_path / "none.toml")])
    assert missing.exit_code == 2
