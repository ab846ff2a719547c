"""The page of a night, and of many."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import msgspec
import numpy as np
import pytest

from monitor.journal.kept_beats import LeadBeat
from monitor.offline.alarm_signal import AlarmSignal
from monitor.offline.report.judged_nights import NoNight
from monitor.offline.report.night import Act, DrawnAlert, Night, Span
from monitor.offline.report.night_page import MOST_SECTIONS, report_page
from monitor.offline.report.trend import rhythm_trend
from monitor.wire.messages import FamilyStatus, LossByPart, Neighbour
from tests.messages import alarm, alert
from tests.monitor.offline.evaluation.pages import Page

WAVE = np.sin(np.arange(140) / 10)
HOSTILE = [
    "<script>alert(1)</script>",
    "\"' onload=x",
    "\x1b[31m\u202e",
    "漢字\ud800",
    "&lt;",
    "x" * 128,
]
VOID = {"meta", "img", "br"}


def night(name: str = "119", **changes: object) -> Night:
    at_s = np.arange(1, 3600, 0.8)
    beat = alert(
        patient=name,
        record=name,
        lead=name,
        family=3,
        score=7.5,
        beat=WAVE.tolist(),
        reconstruction=(0.5 * WAVE).tolist(),
        why=["shape"],
        parts=LossByPart(0.1, 0.6, 0.3),
        neighbours=[Neighbour(12.5, WAVE.tolist())],
    )
    around = tuple(
        LeadBeat(3600 + 288 * n, 10.0, 26.0, b"", 7.5 if n == 0 else 0.2, True)
        for n in range(-10, 11)
    )
    values = np.tile(WAVE.astype(np.float32), (2, 20))
    signal = AlarmSignal((name, "V1"), 360.0, 2000, values, 2340, 3600)
    made = {
        "leads": (name, "V1"),
        "fs_hz": 360.0,
        "last_s": 3600.0,
        "alarms": (
            Span("asystole", 600, 610, "high", False),
            Span("anomalous_beats", 10, 12, "medium", False),
        ),
        "technical": (Span("noisy", 0, 360, "low", False),),
        "acts": (Act("2026-01-01T03:00:00.000Z", 700, "asystole", "acknowledged", name),),
        "n_acts": 1,
        "families": (FamilyStatus(3, 41, shape=[0, 50, 100, -20], heard=True),),
        "n_families": 5,
        "drawn": (
            DrawnAlert(alarm(patient=name, text=name), signal=signal),
            DrawnAlert(alarm(kind="pause", text=name)),
            DrawnAlert(beat, around),
        ),
        "trend": rhythm_trend(at_s, np.full(len(at_s), 800.0), 3600),
        "figures": (("model", name),),
        "beats": 4500,
        "anomalous": 45,
        "published": ("2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"),
    }
    return Night(name, name, name, **(made | changes))  # type: ignore[arg-type]


class Balanced(HTMLParser):
    """Fails where a tag is closed that is not the one that is open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.feed(text)
        self.close()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag that closes itself opens nothing."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_night_is_told_in_words_and_figures() -> None:
    """Who, how readable, the rate, alarms an hour, families, technical time, who has seen what."""
    said = " ".join(Page(report_page([night()])).text.split())
    for part in (
        "90.0 % 00:54:00 of 01:00:00",
        "heart rate 75 a minute",
        "asystole 1 1.1 00:00:10",
        "family 3 41 beats and 4 rarer ones",
        "noisy 1 00:06:00 00:06:00",
        "2026-01-01 03:00:00 00:11:40 asystole acknowledged 119",
        "score 7.5",
        "the loss arose in P 10 %, QRS 60 %, T 30 %",
        "scores of 10 beats before and 10 after",
        "distance 12.5",
        "--record RECORD draws it",
        "Research software, not a medical device.",
    ):
        assert part in said, part


def test_a_page_is_whole_and_loads_nothing() -> None:
    """No script, no address but of its own parts and of pictures it holds; tags are balanced."""
    text = report_page([night(), night("208")], [NoNight("x", "damaged")], "today")
    page, balanced = Page(text), Balanced(text)
    assert balanced.open == []
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert all(one.startswith(("#", "data:image/png;base64,")) for one in page.sources)
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert len(set(balanced.ids)) == len(balanced.ids)
    assert {one[1:] for one in page.sources if one[0] == "#"} <= set(balanced.ids)
    assert not re.search(r'="[^"]*\bnan\b', text)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_names_from_outside_are_only_text(name: str) -> None:
    """No tag, no attribute, no control; the page can be written as UTF-8."""
    nights = [night(name), night(name)]
    text = report_page(nights, [NoNight(name, name)])
    text.encode()
    plain = report_page([night("n"), night("n")], [NoNight("n", "n")])
    assert Page(text).tags == Page(plain).tags
    assert Balanced(text).open == []
    assert "onload" not in [word for tag in re.findall(r"<[^>]*>", text) for word in tag.split("=")]
    assert not set("\x1b\u202e") & set(text)


def test_the_worst_patient_comes_first_and_each_row_leads_to_a_section() -> None:
    """High alarms an hour of readable signal, then medium ones."""
    calm = night("calm", alarms=())
    busy = night("busy", alarms=(Span("asystole", 1, 2, "high", False),) * 9)
    worse = night("medium", alarms=(Span("pause", 1, 2, "medium", False),) * 99)
    text = report_page([calm, worse, busy])
    rows = re.findall(r'<th><a href="#(p\d)">(\w+)</a>', text)
    assert rows == [("p1", "busy"), ("p2", "medium"), ("p3", "calm")]
    assert '<section class="patient" id="p1"><header><h2>busy</h2>' in text


def test_of_very_many_patients_the_worst_have_sections() -> None:
    """The page stays one that a browser opens; every patient has a row."""
    text = report_page([Night(f"n{number}", "r", "j") for number in range(MOST_SECTIONS + 5)])
    page = Page(text)
    assert text.count('<section class="patient"') == MOST_SECTIONS
    assert f"Below: the worst {MOST_SECTIONS}." in page.text
    assert all(f"n{number} " in page.text for number in range(MOST_SECTIONS + 5))
    assert {one[1:] for one in page.sources if one[0] == "#"} <= set(Balanced(text).ids)


def test_what_could_not_be_read_is_said() -> None:
    """With why; also beside a single night."""
    said = Page(report_page([night()], [NoNight("broken", "its header is damaged")])).text
    assert "broken: its header is damaged" in said


def test_a_model_that_does_not_fit_is_said_instead_of_a_share() -> None:
    """Its losses say nothing: 99 % anomalous would alarm people for nothing."""
    unfit = night(technical=(Span("model_unfit", 10, 3600, "low", True),))
    assert "the model does not fit" in Page(report_page([unfit, night("208")])).text
    assert "learn the patient" in Page(report_page([unfit])).text


def test_an_empty_night_is_a_page_too() -> None:
    """Nothing came: nothing is drawn, and it is said."""
    said = Page(report_page([Night("p", "p", "j")])).text
    for part in ("There was no alarm.", "There was none.", "Nobody acknowledged", "not known"):
        assert part in said


@pytest.mark.parametrize("loss", [0.0, 1e-300, 1e300, float("inf"), float("nan")])
def test_absurd_figures_are_drawn(loss: float) -> None:
    """A message may claim any loss, threshold, value and time."""
    beat = night().drawn[-1].alert
    absurd = msgspec.structs.replace(
        beat, loss=loss, threshold=loss, ratio=loss, score=loss, beat=[loss] * 140, time_s=loss
    )
    kept = tuple(LeadBeat(3600 + n, loss, loss, b"", loss, n > 0) for n in range(5))
    text = report_page([night(drawn=(DrawnAlert(absurd, kept), DrawnAlert(absurd, ())))])
    assert Balanced(text).open == []
