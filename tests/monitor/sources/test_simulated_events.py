"""Events at given times: the record shows them, and its annotations say where."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from monitor.errors import InvalidOption
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.sources.simulated_events import NIGHT, Event, load_scenario

FS_HZ = 250


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a record of three minutes with one event of each kind."""
    path = tmp_path_factory.mktemp("simulated") / "night"
    write_record(path, SimulationSettings(0.05, seed=3, anomaly_rate=0.0, scenario=NIGHT))
    return path


def beats_between(path: Path, start_s: float, stop_s: float) -> tuple[np.ndarray, set[str]]:
    notes = wfdb.rdann(str(path), "ecg")
    at_s = notes.sample / FS_HZ
    inside = (at_s >= start_s) & (at_s < stop_s) & (np.array(notes.symbol) != "+")
    return at_s[inside], {s for s, keep in zip(notes.symbol, inside, strict=True) if keep}


def test_every_event_is_annotated_where_it_begins_and_ends(night: Path) -> None:
    """As in the MIT-BIH databases: `+` with the rhythm that begins."""
    notes = wfdb.rdann(str(night), "ecg")
    told = [
        (sample / FS_HZ, note.rstrip("\x00"))
        for sample, symbol, note in zip(notes.sample, notes.symbol, notes.aux_note, strict=True)
        if symbol == "+"
    ]
    assert len(told) == 2 * len(NIGHT)
    assert told[::2] == [
        (24.0, "(VT"), (32.0, "(VT"), (44.0, "(N"), (50.0, "(NOISE"), (62.0, "(SVTA"),
        (78.0, "(SBR"), (94.0, "(NOISE"), (104.0, "(ASYS"), (116.0, "(VF"), (129.0, "(AFIB"),
    ]  # fmt: skip
    assert {note for _, note in told[1::2]} == {"(N"}


@pytest.mark.parametrize(
    ("start_s", "stop_s", "per_minute", "symbols"),
    [(32, 38, 160, {"V"}), (62, 73, 150, {"N"}), (79, 89, 35, {"N"}), (129, 176, 125, {"N"})],
)
def test_beats_of_an_event_have_its_rate(
    night: Path, start_s: float, stop_s: float, per_minute: float, symbols: set[str]
) -> None:
    """And its class: ventricular beats in runs."""
    at_s, found = beats_between(night, start_s, stop_s)
    assert found == symbols
    assert 60 / np.diff(at_s).mean() == pytest.approx(per_minute, rel=0.07)


def test_no_beat_is_where_the_heart_stands_still(night: Path) -> None:
    """Asystole, fibrillation, and leads that are off have none annotated."""
    for start_s, stop_s in ((104, 110.5), (116, 124), (94, 99)):
        assert not len(beats_between(night, start_s, stop_s)[0])


def test_the_signal_shows_what_is_annotated(night: Path) -> None:
    """A line while leads are off, little in asystole, a wave in fibrillation."""
    lead = wfdb.rdrecord(str(night)).p_signal[:, 0]

    def height(start_s: float, stop_s: float) -> float:
        part = lead[round(start_s * FS_HZ) : round(stop_s * FS_HZ)]
        return float(np.ptp(part))

    assert height(94.1, 98.9) == 0
    assert height(105, 110) < 0.5 < 0.9 < height(117, 123)
    assert height(51, 56) > 2.0


def test_the_same_settings_give_the_same_bytes(night: Path, tmp_path: Path) -> None:
    """And another seed gives others."""
    again, other = tmp_path / "night", tmp_path / "other"
    settings = {"hours": 0.05, "anomaly_rate": 0.0, "scenario": NIGHT}
    write_record(again, SimulationSettings(seed=3, **settings))  # type: ignore[arg-type]
    write_record(other, SimulationSettings(seed=4, **settings))  # type: ignore[arg-type]
    assert again.with_suffix(".dat").read_bytes() == night.with_suffix(".dat").read_bytes()
    assert other.with_suffix(".dat").read_bytes() != night.with_suffix(".dat").read_bytes()


def test_a_scenario_file_is_read_and_checked(tmp_path: Path) -> None:
    """Tables of kind, at_s and for_s, in any order; what cannot be is said."""
    assert load_scenario("night") == NIGHT
    file = tmp_path / "mine.toml"
    file.write_text(
        '[[event]]\nkind = "noise"\nat_s = 30.0\nfor_s = 5.0\n'
        '[[event]]\nkind = "asystole"\nat_s = 10\nfor_s = 6\n'
    )
    assert load_scenario(str(file)) == (Event("asystole", 10, 6), Event("noise", 30, 5))
    for text, words in (
        ('[[event]]\nkind = "hiccup"\nat_s = 1\nfor_s = 1', "hiccup"),
        ('[[event]]\nkind = "noise"\nat_s = 1', "for_s"),
        ('[[event]]\nkind = "noise"\nat_s = -1\nfor_s = 1', "out of range"),
        ("event = [", "cannot be read"),
        (2 * '[[event]]\nkind = "noise"\nat_s = 10\nfor_s = 5\n', "has ended"),
    ):
        file.write_text(text)
        with pytest.raises(InvalidOption, match=words):
            load_scenario(str(file))
    with pytest.raises(InvalidOption, match="neither"):
        load_scenario(str(tmp_path / "absent"))
    with pytest.raises(InvalidOption, match="--hours"):
        SimulationSettings(hours=0.01, seed=1, scenario=NIGHT)
