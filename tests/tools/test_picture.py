"""Pictures of the live view."""

from __future__ import annotations

from xml.etree import ElementTree

from rich.segment import Segment
from rich.style import Style

from monitor.view.snapshot import Snapshot, with_notice
from tests.monitor.view.scenes import monitoring_scene, patient_status, status
from tools.picture import CELL_HEIGHT, CELL_WIDTH, PictureScreen, picture, svg

SVG = "{http://www.w3.org/2000/svg}"


def texts(document: str) -> list[str]:
    """Return the words of a picture."""
    return [element.text or "" for element in ElementTree.fromstring(document).iter(f"{SVG}text")]


def test_the_picture_is_whole() -> None:
    """It is well-formed XML of the terminal's size, with the words of the screen."""
    document = picture(monitoring_scene(20), 80, 24)
    root = ElementTree.fromstring(document)
    assert root.get("viewBox") == f"0 0 {80 * CELL_WIDTH} {24 * CELL_HEIGHT}"
    assert {"MONITORING", "MLII", "rebuilt", "device"} <= set(texts(document))


def test_each_dot_is_drawn_at_its_place() -> None:
    """A Braille cell in the second column: its first and its last dot."""
    document = svg([[Segment(" "), Segment("\u2881", Style(color="#00ff00"))]], 2, 1)
    (path,) = [p for p in ElementTree.fromstring(document).iter(f"{SVG}path") if p.get("stroke")]
    assert path.get("stroke") == "#00ff00"
    assert path.get("d") == "M11.25 2.25h0M15.75 15.75h0"


def test_a_bar_fills_its_eighths() -> None:
    """Half a block stands on the lower edge; a background fills the cell."""
    document = svg([[Segment("▄", Style(color="#ff0000", bgcolor="#0000ff"))]], 1, 1)
    paths = {p.get("fill"): p.get("d") for p in ElementTree.fromstring(document).iter(f"{SVG}path")}
    assert paths == {"#0000ff": "M0 0h9v18h-9z", "#ff0000": "M0 9h9v9h-9z"}


def test_foreign_text_stays_text() -> None:
    """Angle brackets and ampersands in a notice are no XML."""
    document = picture(with_notice(Snapshot(), "<script>&amp;"), 80, 24)
    assert "<script>&amp;" in texts(document)


def test_the_moment_is_kept() -> None:
    """What comes after the moment of the picture is not in it."""
    screen = PictureScreen(at_s=60.0)
    screen.take(status(patient_status(250 * 59)))
    screen.take(status(patient_status(250 * 61)))
    screen.take(status(patient_status(250 * 90)))
    (patient,) = screen.snapshot.patients.values()
    assert patient.position_s == 61.0


def test_a_moment_that_never_came_is_no_picture() -> None:
    """Before the moment the picture is not taken."""
    screen = PictureScreen(at_s=60.0)
    screen.take(status(patient_status(250 * 59)))
    assert not screen.is_taken
