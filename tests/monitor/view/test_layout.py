"""The live view, as text."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.style import Style

from monitor.detection.model_fit import ModelFit, unfit_text
from monitor.view import plots
from monitor.view import screen_rows as bars
from monitor.view.layout import render
from monitor.view.selection import select
from monitor.view.snapshot import Snapshot, with_notice, with_pause, with_silence
from monitor.wire.messages import (
    ALARM_KINDS,
    AlarmKind,
    AlarmStatus,
    FamilyStatus,
    LearningStatus,
    Message,
    PatientStatus,
    StageHealth,
)
from tests.monitor.view.scenes import (
    FS_HZ,
    after,
    alarm,
    alarm_scene,
    alarm_ward_scene,
    alert,
    beat,
    crowd,
    explained_scene,
    families_scene,
    inhibited_scene,
    lead_off_scene,
    left_out_scene,
    lines_of,
    monitoring_scene,
    patient_status,
    standing,
    status,
    technical,
    two_leads_scene,
    ward_scene,
    wave,
)

GOLDEN = Path(__file__).parent / "golden"
MONITORING, LEAD_OFF, WARD = monitoring_scene(), lead_off_scene(), ward_scene()
EXPLAINED = explained_scene()
TWO_LEADS, LEFT_OUT = two_leads_scene(), left_out_scene()
FAMILIES = families_scene()
ALARM, INHIBITED, ALARM_WARD = alarm_scene(), inhibited_scene(), alarm_ward_scene()
SCENES = {
    "monitoring": MONITORING,
    "lead_off": LEAD_OFF,
    "ward": WARD,
    "crowd": crowd(2000),
    "explained": EXPLAINED,
    "two_leads": TWO_LEADS,
    "left_out": LEFT_OUT,
    "families": FAMILIES,
    "alarm": ALARM,
    "inhibited": INHIBITED,
    "alarm_ward": ALARM_WARD,
    "empty": Snapshot(),
}
DRAWN = [name for name in SCENES if name != "empty"]
SIZES = [(80, 24), (160, 48), (40, 10)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", DRAWN)
def test_the_screen_is_this_text(name: str, size: tuple[int, int]) -> None:
    """The whole screen; a change that is meant: `python -m tests.monitor.view.draw_golden`."""
    width, height = size
    golden = (GOLDEN / f"{name}_{width}x{height}.txt").read_text(encoding="utf-8")
    assert "\n".join(lines_of(SCENES[name], width, height)) + "\n" == golden


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(SCENES)), st.integers(1, 220), st.integers(1, 70))
def test_the_screen_has_the_size_asked_for(name: str, width: int, height: int) -> None:
    """Never wider, never taller: the terminal neither wraps nor scrolls."""
    lines = lines_of(SCENES[name], width, height)
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}


def text_of(snapshot: Snapshot, width: int = 160, height: int = 48) -> str:
    """Return the screen as one text."""
    return "\n".join(lines_of(snapshot, width, height))


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "[/b]",
    "[bold red]x",
    "\u202egnp.\u2066",
    "\x9b2J\x07\r\n",
    "a\u200b\u0301\u0301\u0301\u0301",
    "漢字" * 30,
    ":boom:",
    "\\[",
    "x" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_foreign_text_is_only_text(text: str) -> None:
    """In every place that others can fill: no escape, no markup, no crash, no longer row."""
    name = text[:128]
    scene = after(
        [
            status(
                patient_status(
                    1, patient=name, record=name, lead=name, note=text, technical=[text]
                ),
                patient_status(1, patient="other", note=text),
                model=text,
                journal=text,
            ),
            beat(1, None, patient=name, record=name, lead=name, quality=[text]),
            alert(2, patient=name, record=name, lead=name, journal=text, rule=text, quality=[text]),
            technical(3, seq=9, patient=name, journal=text, text=text),
        ]
    )
    scenes = [scene, select(scene, 1), with_notice(scene, text)]
    for width, height in [(160, 48), (80, 24), (30, 8)]:
        for each in scenes:
            lines = lines_of(each, width, height)
            assert {cell_len(line) for line in lines} == {width}
            assert all(line.isprintable() for line in lines)


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    """What looks like markup is the patient's name."""
    scene = after([status(patient_status(1, patient="[red]Eve[/red] :boom:"))])
    assert "[red]Eve[/red] :boom:" in text_of(scene)


def test_missing_signal_is_a_gap() -> None:
    """A lead that is off draws nothing: no line at zero or anywhere."""
    silent: list[Message] = [status(patient_status(0)), wave(0, [None] * 1000)]
    assert not any("\u2801" <= cell <= "\u28ff" for cell in text_of(after(silent)))
    flat: list[Message] = [status(patient_status(0)), wave(0, [0.0] * 1000)]
    assert any("\u2801" <= cell <= "\u28ff" for cell in text_of(after(flat)))


def test_a_half_missing_signal_is_half_a_line() -> None:
    """The columns of the missing second stay empty, the others do not."""
    scene = after([status(patient_status(0)), wave(0, [0.0] * 125 + [None] * 125 + [0.0] * 125)])
    row = next(line for line in lines_of(scene, 80, 24)[6:] if max(line) >= "\u2801")
    drawn = [("\u2801" <= cell <= "\u28ff") for cell in row[6:]]
    assert all(drawn[:12])
    assert not any(drawn[13:24])
    assert all(drawn[25:36])


@pytest.mark.parametrize("scene", [LEAD_OFF, with_silence(MONITORING, 7.0)])
def test_the_verdict_is_withheld_while_the_signal_or_the_word_is_missing(scene: Snapshot) -> None:
    """No heart rate, no "no open alert": neither without a lead nor without a consumer."""
    text = text_of(scene)
    assert "HR  -- /min" in text
    assert "signal withheld" in text
    assert "no open alert" not in text


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (MONITORING, " M  MONITORING  no open alert"),
        (LEAD_OFF, " T  LEAD OFF since 00:07:00  verdict withheld  no signal on MLII"),
        (with_silence(LEAD_OFF, 7.0), " !  NO WORD FOR 7 s: what is shown is old"),
        (after([alert(500, priority="high", ratio=2.4)]), " A  ALERT high since 00:00:02  1 beat"),
        (after([status(patient_status(9, state="learning", note="1:00 left"))]), " L  LEARNING"),
        (after([status(patient_status(9, state="ended"))]), " E  ENDED"),
        (after([beat(5)]), " L  LEARNING  no verdict yet"),
    ],
)
def test_the_state_is_said_in_words(scene: Snapshot, said: str) -> None:
    """A letter and words, so that colour alone carries nothing."""
    assert any(line.startswith(said) for line in lines_of(scene, 80, 24))


def test_a_technical_alert_hides_an_open_episode() -> None:
    """What cannot be judged is not judged, even in the midst of an episode."""
    scene = after([alert(500), technical(600, seq=2)])
    assert any(line.startswith(" T  LEAD OFF") for line in lines_of(scene, 80, 24))


def test_each_beat_has_its_letter() -> None:
    """Normal, anomalous, not judged, learnt, and not scored yet."""
    scene = after(
        [
            status(patient_status(0)),
            wave(0, [0.0] * 600, [100, 300, 500, 700, 900]),
            beat(100, None, threshold=None),
            beat(300, 9.0),
            beat(500, 50.0),
            beat(700, None, quality=["NOISY"]),
        ]
    )
    marks = lines_of(scene, 80, 24)[4]
    assert marks.split() == ["L", "·", "A", "?", "'"]


def test_the_latest_anomalous_beat_is_told_in_figures() -> None:
    """Loss, threshold, ratio and both intervals."""
    scene = after([status(patient_status(9)), alert(500, rr_after_ms=None)])
    assert "loss 41.2/26.0 x1.6 RR 512/-- ms" in text_of(scene, 80, 24)


@pytest.mark.parametrize(
    ("width", "said"),
    [(160, "shape, premature, T 00:07:00"), (116, "shape, premature 00:07:00"), (80, "─ 00:07:00")],
)
def test_the_latest_beat_says_as_much_of_why_as_has_room(width: int, said: str) -> None:
    """Its time stays, however narrow."""
    assert f"{said} ─" in text_of(replace(EXPLAINED, explaining=False), width, 24)


def styled(snapshot: Snapshot, row: int) -> list[tuple[str, Style]]:
    """Return the cells of one row of an 80x24 screen with their styles."""
    console = Console(width=80, height=24, force_terminal=True, color_system="truecolor")
    line = console.render_lines(render(snapshot, 80, 24), pad=False)[row]
    return [(cell, part.style or Style.null()) for part in line for cell in part.text]


@pytest.mark.parametrize(
    ("scene", "bar"),
    [
        (MONITORING, bars.QUIET_BAR),
        (LEAD_OFF, bars.TECHNICAL_BAR),
        (WARD, bars.ALARM_BAR),
        (with_silence(MONITORING, 7.0), bars.ALARM_BAR),
        (after([status(patient_status(9, state="learning"))]), bars.LEARNING_BAR),
        (after([status(patient_status(9, state="ended"))]), bars.ENDED_BAR),
    ],
)
def test_the_verdict_is_a_bar_of_its_colour(scene: Snapshot, bar: str) -> None:
    """The whole row, to be seen from across the room."""
    assert {style.bgcolor for _, style in styled(scene, 2)} == {Style.parse(bar).bgcolor}


def test_an_anomalous_beat_is_red_in_the_trace_and_others_are_green() -> None:
    """Half-way to its neighbours on either side, and nowhere else."""
    scene = after(
        [
            status(patient_status(0)),
            wave(0, [0.0] * 600, [250, 500, 750]),
            *(beat(sample, loss) for sample, loss in [(250, 9.0), (500, 50.0), (750, 9.0)]),
        ]
    )
    row = next(n for n, line in enumerate(lines_of(scene, 80, 24)) if max(line) >= "\u2801")
    colours = [style.color for cell, style in styled(scene, row) if "\u2801" <= cell <= "\u28ff"]
    red, green = (Style.parse(style).color for style in (plots.ANOMALY, plots.TRACE))
    n_second = 74 / 6  # columns
    assert set(colours) == {red, green}
    first, last = colours.index(red), len(colours) - colours[::-1].index(red)
    assert set(colours[first:last]) == {red}
    assert first == pytest.approx(1.5 * n_second, abs=1)
    assert last == pytest.approx(2.5 * n_second, abs=1)


def test_a_run_of_anomalous_beats_does_not_hide_the_threshold() -> None:
    """Its line goes on through the bars that rise above it."""
    scene = after([status(patient_status(0)), *(beat(n, 900.0) for n in range(1, 200))])
    lines = lines_of(scene, 80, 24)
    (row,) = [line for line in lines if " 26.0 " in line and "threshold" not in line]
    assert row.endswith("╌" * 30)


def test_where_evidence_judged_the_bars_are_scores() -> None:
    """Held against 1: a loss below the threshold may be of an anomalous beat."""
    beats = [
        beat(1, 9.0),  # by the bare rule, before the patient was learnt
        beat(2, 9.0, score=30.0, weighed=True, anomalous=True),
        beat(3, 900.0, score=0.5, weighed=True, anomalous=False),
    ]
    lines = lines_of(after([status(patient_status(0)), *beats]), 80, 24)
    (title,) = [line for line in lines if "score a beat" in line]
    bars = lines[lines.index(title) + 1 :]
    (bound,) = [line for line in bars if "  1.0 ╌" in line]
    above = bars[: bars.index(bound)]
    assert {line[-3:] for line in above if "█" in line} == {" █ "}  # the second alone
    assert not any("26.0" in line for line in bars)


def test_the_verdict_tells_score_from_loss() -> None:
    """In the row of the alert and beside its beat."""
    by_evidence = alert(2000, family=3, score=2.5, ratio=0.5)
    lines = lines_of(after([status(patient_status(2000)), by_evidence]), 80, 24)
    assert any("1 beat  score 2.5" in line for line in lines)
    assert any("score 2.5 RR" in line for line in lines)


def stage(**changes: Any) -> StageHealth:
    """Return the health of a segmenter."""
    values: dict[str, Any] = {
        "stage": "segmenter",
        "messages_in": 123_456,
        "messages_out": 99,
        "malformed": 0,
        "gaps": 0,
        "dropped": 0,
        "restarts": 0,
        "age_s": 0.2,
    }
    return StageHealth(**values | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "segmenter ok 123.5k "),
        ({"gaps": 2, "restarts": 1}, "segmenter ! 123.5k gaps 2 restarts 1"),
        ({"malformed": 4, "dropped": 5_000_000}, "segmenter ! 123.5k malformed 4 dropped 5.0M"),
        ({"age_s": 12.0}, "segmenter x silent 12 s"),
    ],
)
def test_the_health_of_a_stage_is_one_phrase(changes: dict[str, Any], said: str) -> None:
    """Losses are counted and shown; a stage that is not heard is silent, not well."""
    scene = after([status(patient_status(9), stages=[stage(**changes)])])
    assert said in lines_of(scene, 80, 24)[-2]


def test_a_large_screen_has_a_table_of_stages() -> None:
    """All counters have their column."""
    scene = after([status(patient_status(9), stages=[stage(malformed=1, gaps=2, dropped=3)])])
    (row,) = [line for line in lines_of(scene, 160, 48) if "segmenter" in line]
    assert row.split()[-9:] == ["segmenter", "123.5k", "99", "1", "2", "3", "0", "0.2", "s"]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_what_is_wrong_with_the_monitor_itself_is_shown(size: tuple[int, int]) -> None:
    """A journal that fails, strangers and floods are seen, and are no escape sequences."""
    heard = status(patient_status(9), stages=[stage()])
    scene = after(
        [msgspec.structs.replace(heard, journal_failing="disk\x1b[2J full", limited_requests=2)]
    )
    said = "\n".join(lines_of(scene, *size))
    assert "journal failing: disk" in said
    assert "requests over the limit: 2" in said
    assert "clients refused" not in said
    assert "\x1b" not in said


def test_the_selected_patient_is_shown_and_listed() -> None:
    """Also one far down the list: the table scrolls to it."""
    scene = select(WARD, -1)
    assert scene.selected == "bed 06"
    lines = lines_of(scene, 80, 24)
    assert lines[0].startswith(" bed 06  lead MLII")
    assert any(line.startswith("▶ E  bed 06") for line in lines)


def test_a_ward_is_counted_and_listed_worst_first() -> None:
    """The heading counts each standing; the table has more room than that of a few patients."""
    lines = lines_of(SCENES["crowd"], 80, 24)
    (heading,) = [line for line in lines if line.startswith("─ patients")]
    assert "2,000, worst first  1 high  2 medium  1,957 quiet  40 learning" in heading
    rows = [line.split()[:3] for line in lines if " HR " in line][1:]
    assert rows[:3] == [["▶", "A", "p0013"], ["A", "p0011", "HR"], ["A", "p0007", "HR"]]
    assert len(rows) >= 7


def test_a_search_lists_what_it_leaves() -> None:
    """The query stands in the heading and, while it is typed, with its keys below."""
    scene = replace(SCENES["crowd"], query="p019", is_typing=True)
    lines = lines_of(scene, 80, 24)
    (heading,) = [line for line in lines if line.startswith("─ patients")]
    assert heading.startswith("─ patients /p019 10 match ─")
    assert [line.split()[1] for line in lines if line.startswith("  M ")] == [
        f"p019{n}" for n in range(7)
    ]
    assert lines[-1].startswith(" /p019▏  enter keep  esc all")
    nothing = replace(scene, query="nobody")
    assert "─ patients /nobody 0 match ─" in text_of(nothing)


def test_more_patients_than_are_kept_are_said() -> None:
    """Whoever is left out is not left out silently."""
    assert "more than 10,000 are not shown" in text_of(replace(WARD, n_refused=3))


def test_a_high_alert_that_is_over_is_still_to_be_acknowledged() -> None:
    """It says so, in the colour of an alarm, until somebody has seen it."""
    scene = after([status(patient_status(9, latched=True))])
    assert any(line.startswith(" A  HIGH ALERT to acknowledge") for line in lines_of(scene, 80, 24))
    assert " a ACKNOWLEDGE" in lines_of(scene, 80, 24)[-2]


@pytest.mark.parametrize("size", [(80, 24), (160, 48)])
def test_a_beat_is_explained_on_the_whole_screen(size: tuple[int, int]) -> None:
    """Why it was raised, where its loss arose, its neighbours; title, verdict and keys stay."""
    lines = lines_of(EXPLAINED, *size)
    text = "\n".join(lines)
    assert "shape, premature  the loss arose in  P 10 %  QRS 30 %  T 60 %" in text
    assert text.count("distance ") == 3
    assert lines[0].startswith(" 119  lead MLII")
    assert "esc back" in text
    nothing = replace(after([status(patient_status(9))]), explaining=True)
    assert "no anomalous beat so far" in text_of(nothing)


def test_keys_are_named_and_what_this_is_not() -> None:
    """The last row; a notice takes the place of the keys."""
    footer = lines_of(MONITORING, 80, 24)[-1]
    assert footer.startswith(" + fewer - more r learn p pause e explain q quit")
    assert footer.endswith("research, not a medical device")
    assert lines_of(MONITORING, 160, 48)[-1].endswith("research software, not a medical device")
    assert "↑↓ patient" in lines_of(WARD, 80, 24)[-2]  # no room for both in one row
    paused = lines_of(with_pause(MONITORING, True), 80, 24)
    assert "PAUSED" in paused[0]
    assert "p go on" in paused[-1]
    assert (
        " threshold is 27.3 now" in lines_of(with_notice(WARD, "threshold is 27.3 now"), 80, 24)[-1]
    )


LATCHED = patient_status(9, latched=True)
ALL_KEYS = replace(after([status(LATCHED), alert(500)], WARD), selected="119")


@pytest.mark.parametrize("width", [60, 80, 100, 160])
def test_no_key_falls_off_the_footer(width: int) -> None:
    """All that do something now, each whole, and what this is not; at 24 rows and more."""
    lines = lines_of(ALL_KEYS, width, 24)
    footer = "\n".join(lines[-4:])
    for key in ("a ACKNOWLEDGE", "+ fewer", "- more", "r learn", "p pause", "e explain"):
        assert key in footer
    for key in ("↑↓ patient", "/ search", "esc back", "q quit", "not a medical device"):
        assert key in footer


def test_of_a_tiny_screen_the_last_key_leaves() -> None:
    """However many keys there are, the one to leave by is in sight."""
    footer = lines_of(ALL_KEYS, 40, 10)[-1]
    assert footer.startswith(" a ACKNOWLEDGE")
    assert footer.rstrip().endswith("q quit")


def test_a_long_notice_has_a_row_of_its_own() -> None:
    """What this is not stands below it."""
    said = "r again within 5 s: learn 119 anew (no verdicts meanwhile)"
    lines = lines_of(with_notice(MONITORING, said), 80, 24)
    assert lines[-2].rstrip() == f" {said}"
    assert lines[-1].rstrip() == " research software, not a medical device"


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 48)])
def test_every_mark_stands_in_the_legend(width: int, height: int) -> None:
    """Over an R peak and under a loss."""
    (legend,) = [line for line in lines_of(MONITORING, width, height) if line.startswith("─ ECG")]
    for (letter, _), meaning in plots.MARKS.values():
        assert f"{letter} {meaning}" in legend
    assert "━" in text_of(MONITORING, width, height)
    assert "╌ rebuilt" in text_of(MONITORING, width, height)


def test_the_reason_of_an_alert_stays_in_80_columns() -> None:
    """In the verdict and in the list; also of one that is over, and in a ward."""
    scene = after([status(patient_status(9)), alert(500, why=["shape", "premature"])])
    lines = lines_of(scene, 80, 24)
    assert lines[2].rstrip() == (
        " A  ALERT medium since 00:00:02  1 beat  loss x1.6  shape, premature"
    )
    row = next(line for line in lines if "ONSET" in line)
    assert row.rstrip().endswith("x1.6     1 beat   shape, premature")
    over = after([alert(800, "cleared", seq=2, episode_start_sample=500)], scene)
    row = next(line for line in lines_of(over, 80, 24) if "cleared" in line)
    assert row.rstrip().endswith("shape, premature")
    late = alert(90_000, seq=9999, why=["late"], patient="bed 12", record="bed 12")
    ward = after([late], WARD)
    row = next(line for line in lines_of(ward, 80, 24) if " ONSET    medium    bed 12" in line)
    assert row.rstrip().endswith("late")


KINDS = list(ALARM_KINDS)


def alarmed(*alarms: AlarmStatus, **changes: Any) -> Snapshot:
    """Return a patient at 0:01:00 with named alarms that stand."""
    return after([status(patient_status(round(60 * FS_HZ), alarms=list(alarms), **changes))])


@pytest.mark.parametrize(
    ("priority", "bar"),
    [("high", bars.ALARM_BAR), ("medium", bars.MEDIUM_BAR), ("low", bars.LOW_BAR)],
)
def test_a_named_alarm_is_large_in_the_colour_of_its_priority(priority: Any, bar: str) -> None:
    """Three whole rows below the title, the words beside the letters."""
    scene = alarmed(standing("asystole", 50.0, priority))
    for row in (1, 2, 3):
        assert {style.bgcolor for _, style in styled(scene, row)} == {Style.parse(bar).bgcolor}
    lines = lines_of(scene, 80, 24)
    assert lines[1].startswith(" A  ▄▀▄ ▄▀▀ █ █ ▄▀▀ ▀█▀ ▄▀▄ █   █▀▀")
    assert f"{priority} priority" in lines[1]
    assert "since 00:00:50 (10 s)" in lines[2]
    assert ("key a acknowledges" in lines[3]) is (priority == "high")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("width", [80, 100, 160])
def test_every_kind_can_be_written_large(kind: AlarmKind, width: int) -> None:
    """From 80 columns on; its whole name where there is room for that."""
    lines = lines_of(alarmed(standing(kind, 0.0, "medium")), width, 24)
    assert "█" in lines[1]
    assert "medium priority" in lines[1]
    assert "since 00:00:00 (1:00)" in lines[2]


@pytest.mark.parametrize("kind", KINDS)
def test_where_large_letters_have_no_room_an_alarm_is_a_row_in_words(kind: AlarmKind) -> None:
    """On a small terminal."""
    for width, height in [(60, 16), (40, 24), (40, 10), (24, 6)]:
        lines = lines_of(alarmed(standing(kind, 0.0)), width, height)
        assert any(line.startswith(f" A  {kind.replace('_', ' ').upper()}"[:20]) for line in lines)


def test_several_alarms_stand_the_most_urgent_first() -> None:
    """By priority; who was acknowledged or is over comes behind; what has no room is named."""
    alarms = (
        standing("irregular_rhythm", 10.0, "low"),
        standing("tachycardia", 30.0, "medium"),
        standing("ventricular_tachycardia", 20.0, lasts=False),
        standing("asystole", 40.0, latched=False),
        standing("extreme_bradycardia", 50.0),
    )
    lines = lines_of(alarmed(*alarms), 80, 48)
    assert "high priority" in lines[1]
    assert [line.rstrip() for line in lines[4:8]] == [
        " A  ASYSTOLE  high  since 00:00:40 (20 s)  no acknowledgement due",
        " A  VENTRICULAR TACHYCARDIA  high  since 00:00:20, is over  key a acknowledges",
        " A  TACHYCARDIA  medium  since 00:00:30 (30 s)",
        " A  IRREGULAR RHYTHM  low  since 00:00:10 (50 s)",
    ]
    lines = lines_of(alarmed(*alarms), 80, 24)
    assert lines[5].rstrip() == (" A  also ventricular tachycardia, tachycardia, irregular rhythm")
    tiny = lines_of(alarmed(*alarms), 80, 12)
    assert tiny[1].rstrip().endswith("key a acknowledges  +4")


def test_while_a_named_alarm_stands_nobody_says_that_no_alert_is_open() -> None:
    """The verdict below speaks of beats; the key is offered; the alarm itself asks for it."""
    scene = alarmed(standing("asystole", 50.0), latched=True)
    text = text_of(scene, 80, 24)
    assert "no open alert" not in text
    assert " M  MONITORING  no alert of beats" in text
    assert "HIGH ALERT to acknowledge" not in text
    assert "a ACKNOWLEDGE" in text
    seen = alarmed(standing("asystole", 50.0, latched=False))
    assert "a ACKNOWLEDGE" not in text_of(seen, 80, 24)
    assert "no acknowledgement due" in lines_of(seen, 80, 24)[3]


@pytest.mark.parametrize(
    ("inhibited", "said"),
    [
        (["asystole"], "cannot be raised: asystole  (lead off)"),
        (["asystole", "pause"], "cannot be raised: asystole and pause  (lead off)"),
        (KINDS[:8], "of named alarms only bradycardia and irregular rhythm can be raised"),
        (KINDS, "no named alarm can be raised  (lead off)"),
    ],
)
def test_what_cannot_be_raised_is_named_with_the_reason(inhibited: Any, said: str) -> None:
    """At once with the technical alert, and as the heartbeat says; until it says otherwise."""
    at_once = after([technical(600, seq=2, inhibits=inhibited)])
    by_status = after([status(patient_status(900, technical=["lead_off"], inhibited=inhibited))])
    for scene in (at_once, by_status):
        assert f"    {said}" in text_of(scene, 80, 24)
    over = after([technical(950, "cleared", seq=3), status(patient_status(990))], at_once)
    assert "be raised" not in text_of(over, 80, 24)


def test_a_lead_that_is_left_out_is_a_reason() -> None:
    """Of what only that lead could show."""
    said = patient_status(900, left_out=["V1"], inhibited=["asystole"])
    assert "cannot be raised: asystole  (without V1)" in text_of(after([status(said)]), 80, 24)
    early = patient_status(900, inhibited=["asystole"])
    text = text_of(after([status(early)]), 80, 24)
    assert "cannot be raised: asystole  (a lead is not known yet, or was off)" in text


def test_a_named_alarm_is_a_row_of_the_list() -> None:
    """Its name and what is said of it; one row from onset to end."""
    scene = after([status(patient_status(9000)), alarm(9000, seq=1)])
    row = next(line for line in lines_of(scene, 80, 24) if "ONSET" in line)
    assert row.startswith(" A 00:00:36.0  ONSET    high      asystole: no QRS complex for 3.5 s")
    over = after([alarm(9500, "cleared", seq=2, episode_start_sample=8125)], scene)
    assert [row.state for row in over.rows] == ["cleared"]
    assert not any("ONSET" in line for line in lines_of(over, 80, 24))


def test_in_a_table_the_worst_named_alarm_leads() -> None:
    """Before an episode of beats; one that was acknowledged behind one that was not."""
    rows = [line for line in lines_of(ALARM_WARD, 160, 48) if "  00:05:21  " in line]
    assert [row[4:11].strip() for row in rows[:7]] == [
        "bed 08", "bed 04", "bed 07", "bed 11", "bed 03", "bed 02", "bed 09",
    ]  # fmt: skip
    assert "VENTRICULAR FIBRILLATION since 00:05:16 to acknowledge; PAUSE since" in rows[0]
    assert "ASYSTOLE is over since 00:05:02 to acknowledge" in rows[3]


def test_leads_stand_one_below_the_other_where_there_is_room() -> None:
    """Two at 80x24, each named beside its own scale; on a small screen the first alone."""
    lines = lines_of(TWO_LEADS, 80, 24)
    assert any(line.startswith(" MLII ") for line in lines)
    assert any(line.startswith("   V1 ") for line in lines)
    small = "\n".join(lines_of(TWO_LEADS, 60, 16))
    assert "ECG MLII of 2 leads" in small


def test_an_alert_names_the_leads_that_stand_out() -> None:
    """In the verdict and in the list; the beat that is drawn names the worst."""
    text = text_of(TWO_LEADS)
    verdict_row = lines_of(TWO_LEADS, 80, 24)[2]
    assert verdict_row.rstrip().endswith("shape, premature  MLII, V1")
    assert "shape, premature  MLII, V1" in text.split("─ alerts ")[1]
    assert "latest anomalous beat V1" in text
    assert "loss over threshold" in text


def test_a_lead_that_is_left_out_leaves_the_others_judged() -> None:
    """It is marked where it is drawn and in the verdict; neither rate nor verdict is withheld."""
    lines = lines_of(LEFT_OUT, 80, 24)
    assert lines[2].startswith(" M  MONITORING  no open alert  without lead V1")
    assert "HR  74 /min" in lines[0]
    assert any(line.startswith("  V1? ") for line in lines)
    assert any("lead left out" in line for line in lines)
    patient = LEFT_OUT.patients["119"]
    assert (patient.standing, patient.technical) == ("quiet", ())
    back = technical(106_000, "cleared", seq=9003, event="lead_left_out", lead="V1")
    again = after([back], LEFT_OUT)
    assert again.patients["119"].left_out == ()
    assert not any(row.is_open for row in again.rows)


def test_the_lead_that_is_left_out_gives_way_where_one_has_room() -> None:
    """Whatever its place in the record."""
    first_out = after(
        [status(patient_status(105_750, lead="MLII, V1", leads=["MLII", "V1"], left_out=["MLII"]))],
        TWO_LEADS,
    )
    assert "ECG V1 of 2 leads" in "\n".join(lines_of(first_out, 60, 16))


def test_two_leads_that_are_left_out_are_two_rows() -> None:
    """The end of one is not that of the other."""
    scene = after(
        [
            status(patient_status(5000, lead="I, II, V1", leads=["I", "II", "V1"])),
            technical(5000, seq=1, event="lead_left_out", lead="I"),
            technical(5100, seq=2, event="lead_left_out", lead="V1"),
            technical(5200, "cleared", seq=3, event="lead_left_out", lead="I"),
        ]
    )
    assert scene.patients["119"].left_out == ("V1",)
    assert [row.is_open for row in scene.rows] == [False, True]


UNFIT = after(
    [
        status(patient_status(5000)),
        technical(
            5000,
            event="model_unfit",
            text=unfit_text([ModelFit(above=(True,) * 20, state="unfit")]),
        ),
    ]
)


def test_a_model_that_does_not_fit_is_told_whole_with_what_to_do() -> None:
    """In two rows at 80 columns; the heart rate stands, since the signal is good."""
    lines = lines_of(UNFIT, 80, 24)
    assert lines[2].startswith(
        " T  MODEL UNFIT since 00:00:20  no beat alerts  this model does not"
    )
    assert lines[3].rstrip().endswith("learn the patient, key r or --learn 5:00")
    assert "HR  74 /min" in lines[0]
    assert "signal withheld" not in lines[0]
    seen = after([status(patient_status(5000, technical=["model_unfit"], latched=True))], UNFIT)
    said = " ".join(" ".join(lines_of(seen, 80, 24)[2:5]).split())
    assert "HIGH ALERT to acknowledge" in said
    assert said.endswith("learn the patient, key r or --learn 5:00")
    late = after([status(patient_status(5000, technical=["model_unfit"]))])
    assert "key r learns" in text_of(late, 80, 24)


def test_verdicts_of_a_model_that_does_not_fit_are_not_drawn_as_anomalous() -> None:
    """They are marked as not judged, from the alert to its end; those before stay."""
    scene = after([wave(5000, [0.0] * 600, [5000, 5200, 5400, 5600])], UNFIT)
    scene = after([beat(5200, 90.0), beat(5400, 9.0)], scene)
    over = technical(5500, "cleared", seq=2, event="model_unfit")
    scene = after([over, beat(5600, 90.0)], scene)
    assert lines_of(scene, 80, 24)[4].split() == ["'", "?", "·", "A"]


def test_a_technical_alert_and_an_alert_to_acknowledge_are_both_in_sight() -> None:
    """Neither hides the other, nor the key."""
    scene = after([technical(600), status(patient_status(900, latched=True, technical=["noisy"]))])
    text = text_of(scene, 80, 24)
    assert " T  NOISY  HIGH ALERT to acknowledge  verdict withheld" in text
    assert "a ACKNOWLEDGE" in text


def learning(**changes: Any) -> Snapshot:
    """Return a patient that is learnt, with an alert that nobody has acknowledged."""
    how_far = LearningStatus(**{"left_s": 200.0, "beats": 117} | changes)
    said = patient_status(9, state="learning", threshold=None, latched=True, learning=how_far)
    return after([status(said)])


@pytest.mark.parametrize(
    ("scene", "said"),
    [
        (learning(), "03:20 left to learn  117 beats so far"),
        (learning(left_s=0.0, training=True), "training on 117 beats  0 beats wait"),
        (
            learning(left_s=0.0, training=True, ahead=2, held=31),
            "waits to be trained, 2 before it  31 beats wait",
        ),
    ],
)
def test_learning_is_shown_beside_an_alert_to_acknowledge(scene: Snapshot, said: str) -> None:
    """How long it lasts, what comes first and what waits; the alert is still there."""
    top = " ".join(lines_of(scene, 80, 24)[2:4]).split()
    assert top == f"A  HIGH ALERT to acknowledge  LEARNING  {said}  no verdict yet".split()
    assert "a ACKNOWLEDGE" in text_of(scene, 80, 24)
    (patient,) = scene.patients.values()
    quiet = replace(scene, patients={"119": replace(patient, latched=False)})
    assert lines_of(quiet, 80, 24)[2].startswith(f" L  LEARNING  {said}")


def learnt(position_s: float, alerts: int = 0) -> PatientStatus:
    position = round(position_s * FS_HZ)
    return patient_status(position, alerts=alerts, note="learnt 300 of 320 beats")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"word": ""}, "no open alert: beats like #2 again, 1,204 so far"),
        ({"word": "normal"}, "no open alert: beats like #2 again, called normal"),
        ({"beats": 1}, "no open alert"),  # the first of a family is nothing known
        ({"number": 3}, "no open alert"),
    ],
)
def test_a_known_family_is_why_a_marked_beat_raises_no_alert(
    changes: dict[str, Any], said: str
) -> None:
    """As long as the beat is drawn; one that is of no family, or of a new one, says nothing."""
    known = FamilyStatus(**{"number": 2, "beats": 1204, "per_minute": 12} | changes)
    scene = monitoring_scene()
    end = max(one.position for one in scene.patients.values())
    messages: list[Message] = [
        beat(end + 100, 90.0, family=2),
        status(patient_status(end + 250, families=[known])),
    ]
    shown = after(messages, scene)
    assert lines_of(shown, 100, 24)[2].strip() == f"M  MONITORING  {said}"
    later = after([status(patient_status(end + 4000, families=[known]))], shown)
    assert lines_of(later, 100, 24)[2].strip() == "M  MONITORING  no open alert"


def test_what_was_learnt_is_told_for_half_a_minute() -> None:
    """Or until an alert comes; and wherever a beat is explained, or the record has ended."""
    told = " M  MONITORING  no open alert  learnt 300 of 320 beats"
    quiet = " M  MONITORING  no open alert"
    now = learning()
    for at_s, alerts, said in ((300, 0, told), (329, 0, told), (329.5, 1, quiet), (330, 0, quiet)):
        scene = after([status(learnt(300)), status(learnt(at_s, alerts))], now)
        assert lines_of(scene, 80, 24)[2].rstrip() == said
    assert lines_of(replace(scene, explaining=True), 80, 24)[2].rstrip() == told
    ended = msgspec.structs.replace(learnt(1800), state="ended")
    assert "learnt 300 of 320 beats" in text_of(after([status(ended)], scene))
    anew = msgspec.structs.replace(learnt(2000), state="learning", note="")
    assert told in text_of(after([status(anew), status(learnt(2300))], scene), 80, 24)


def test_a_record_without_an_end_has_a_time_but_no_share() -> None:
    """A looped or live record shows how long, not how much of what."""
    scene = after([status(patient_status(75_000, n_samples=None), speed=None)])
    row = lines_of(scene, 80, 24)[1]
    assert row.startswith(" 00:05:00 ")
    assert "%" not in row
    assert "speed --" in row


def test_a_record_may_have_run_past_its_end() -> None:
    """More samples than announced are 100 percent, and not more."""
    scene = after([status(patient_status(900_000))])
    assert "100 %" in lines_of(scene, 80, 24)[1]


@pytest.mark.parametrize("rate", [0.0, -5.0, 1e9, float("nan")])
def test_an_absurd_heart_rate_is_not_shown(rate: float) -> None:
    """Nonsense from outside is dashes, not a figure."""
    scene = after([status(patient_status(9, heart_rate_bpm=rate))])
    assert "HR  -- /min" in text_of(scene)


@pytest.mark.parametrize("loss", [0.0, 1e-300, 1e300, float("inf")])
def test_absurd_losses_are_drawn_without_error(loss: float) -> None:
    """Also 0, which has no logarithm, and what is far off the scale."""
    scene = after([beat(1, loss), beat(2, 9.0), alert(3, loss=loss, ratio=loss, threshold=loss)])
    for width, height in [(160, 48), (80, 24)]:
        lines = lines_of(scene, width, height)
        assert {cell_len(line) for line in lines} == {width}


@pytest.mark.parametrize("n_values", [0, 1, 2, 16, 4096])
def test_a_beat_of_any_length_is_drawn(n_values: int) -> None:
    """The reconstruction may be as short or as long as a beat may be."""
    scene = after([alert(3, beat=[0.0] * n_values, reconstruction=[1e300] * (n_values // 2))])
    assert "latest anomalous beat" in text_of(scene)


def test_the_waveform_is_placed_in_the_record_not_on_the_screen() -> None:
    """A sweep: what was drawn stays where it was while new signal is drawn beside it."""
    first = after([status(patient_status(0)), wave(0, [0.0, 0.8, 0.0, -0.4, 0.0] * 50)])
    second = after([wave(500, [0.0] * 125)], first)
    row = slice(6, 30)
    for before, then in zip(
        lines_of(first, 80, 24)[5:11], lines_of(second, 80, 24)[5:11], strict=True
    ):
        assert before[row] == then[row]


def test_a_narrow_screen_keeps_what_matters() -> None:
    """At 40x10: who, heart rate, verdict, signal and keys."""
    text = text_of(MONITORING, 40, 10)
    for needed in ("119", "HR  74 /min", "MONITORING", "ECG", "q quit"):
        assert needed in text


def test_rates_of_waves_from_outside_do_not_matter() -> None:
    """One value a second, or a hundred thousand: the size is kept and nothing fails."""
    for fs_hz in (0.01, 1.0, 99_999.0):
        scene = after([status(patient_status(0, fs_hz=FS_HZ)), wave(0, [0.1, 0.5], fs_hz=fs_hz)])
        assert len(lines_of(scene, 80, 24)) == 24


def test_drawing_does_not_change_the_snapshot() -> None:
    """Drawn twice, it is the same picture."""
    scene = replace(MONITORING)
    assert lines_of(scene, 80, 24) == lines_of(scene, 80, 24)
