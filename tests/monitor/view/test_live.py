"""Snapshots drawn on a whole terminal."""

from __future__ import annotations

import contextlib
import io

import pytest
from rich.console import Console

from monitor.view.live import LiveView
from monitor.view.patient_view import PatientView
from monitor.view.snapshot import Snapshot, with_notice
from tests.monitor.view.scenes import monitoring_scene


class Clock:
    """A monotonic clock that moves when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def console() -> Console:
    """A terminal of 80x24 that writes to memory."""
    return Console(file=io.StringIO(), force_terminal=True, width=80, height=24)


def written(console: Console) -> str:
    """Return what was written since the last time."""
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    console.file.seek(0)
    console.file.truncate()
    return text


def test_an_unchanged_snapshot_is_drawn_once(console: Console) -> None:
    """Nothing is written while nothing changes, however much time passes."""
    clock, scene = Clock(), monitoring_scene(10)
    with LiveView(console, clock) as view:
        assert view.show(scene)
        written(console)
        clock.now_s += 60
        assert not view.show(scene)
        assert written(console) == ""


@pytest.mark.parametrize(("n_patients", "redraws"), [(1, 10), (16, 10), (17, 5)])
def test_changes_are_drawn_a_few_times_a_second(
    console: Console, n_patients: int, redraws: int
) -> None:
    """A thousand changes in a second cost ten redraws at most; of a ward, five."""
    clock = Clock()
    patients = {f"p{n}": PatientView(f"p{n}") for n in range(n_patients)}
    with LiveView(console, clock) as view:
        drawn = 0
        for n in range(1000):
            drawn += view.show(with_notice(Snapshot(patients), f"change {n}"))
            clock.now_s += 0.001
        assert redraws - 1 <= drawn <= redraws + 1


def test_what_a_key_does_is_drawn_at_once(console: Console) -> None:
    """A person waits for it, however little time has passed."""
    clock = Clock()
    with LiveView(console, clock) as view:
        assert view.show(Snapshot())
        assert view.show(with_notice(Snapshot(), "pressed"), at_once=True)
        assert "pressed" in written(console)
        assert not view.show(with_notice(Snapshot(), "and more"))


def test_a_snapshot_that_came_too_early_is_drawn_when_due(console: Console) -> None:
    """Shown again after the wait, the newest state appears."""
    clock = Clock()
    with LiveView(console, clock) as view:
        assert view.show(Snapshot())
        newest = with_notice(Snapshot(), "the newest")
        assert not view.show(newest)
        clock.now_s += 0.1
        assert view.show(newest)
        assert "the newest" in written(console)


def test_a_resized_terminal_is_drawn_anew(console: Console) -> None:
    """The same snapshot is drawn again, in the new size."""
    clock, scene = Clock(), monitoring_scene(10)
    with LiveView(console, clock) as view:
        assert view.show(scene)
        written(console)
        console.size = type(console.size)(50, 12)
        clock.now_s += 1
        assert view.show(scene)
        text = written(console)
        assert text.count("\n") == 11


def test_the_screen_is_given_back_also_after_an_error(console: Console) -> None:
    """The alternate screen is left and the cursor shown, however the block ends."""
    with contextlib.suppress(KeyError), LiveView(console, Clock()):
        assert "\x1b[?1049h" in written(console)
        raise KeyError
    text = written(console)
    assert "\x1b[?1049l" in text
    assert "\x1b[?25h" in text
