"""The nights that a journal holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import InvalidOption, JournalFailed
from monitor.journal.kept_beats import KeptBeat
from monitor.journal.run import JournaledRun
from monitor.journal.writer import Journal
from monitor.offline.report.journaled_nights import journaled_nights, most_drawn_of
from monitor.sources.simulated import SimulationSettings, write_record
from monitor.wire.codec import all_encoded
from monitor.wire.messages import MONITOR, Alert, Stream, Technical
from tests.messages import alarm, alert, technical
from tests.monitor.databases import execute

FS_HZ = 250.0
BEAT = {"beat": [0.0, 1.0] * 70, "reconstruction": [0.1] * 140}
SAID: list[Alert | Technical] = [
    alert(seq=1, id="a1", patient="a", record="a", sample=5000, time_s=20.0, **BEAT),
    alarm(
        seq=2, id="a2", patient="a", record="a", sample=7500, time_s=30.0, episode_start_sample=7000
    ),
    alarm(seq=3, id="a3", patient="a", record="a", state="acknowledged", priority="low", by="Ada"),
    technical(seq=4, id="a4", patient="b", record="b", sample=250, time_s=1.0),
    technical(seq=5, id="a5", patient=MONITOR, record="monitor", event="overload"),
]
RUN = JournaledRun(
    [Stream(name, name, ["ECG1", "ECG2"], FS_HZ, 0, None) for name in ("a", "b")],
    "m1",
    "loss-1-of-1",
    None,
    None,
    1.0,
)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a record of two minutes, named a."""
    path = tmp_path_factory.mktemp("records") / "a"
    write_record(path, SimulationSettings(hours=120 / 3600, seed=1))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """Return a journal that its writer still has open."""
    values = np.zeros(280, "<f4").tobytes()
    with Journal(tmp_path / "night.sqlite") as journal:
        journal.begin(RUN)
        beats = [
            KeptBeat("a", 5000 + 200 * n, ("ECG1", "ECG2"), (9.0, 9.0), (26.0, 26.0), values)
            for n in range(-10, 11)
        ]
        journal.commit(all_encoded(SAID), [], beats)
        yield tmp_path / "night.sqlite"


def test_each_patient_has_a_night(path: Path) -> None:
    """Also one of whom nothing but noise was reported; what the monitor said of itself is told."""
    first, second = journaled_nights(path)
    assert (first.patient, first.leads, first.fs_hz) == ("a", ("ECG1", "ECG2"), FS_HZ)
    assert [one.kind for one in first.alarms] == ["anomalous_beats", "asystole"]
    assert [(one.what, one.by) for one in first.acts] == [("asystole", "Ada")]
    assert first.n_unseen == 0
    assert [one.kind for one in second.technical] == ["noisy"]
    assert ("the monitor itself", "overload 1x") in first.figures
    assert ("model", "m1") in first.figures


def test_an_alert_is_drawn_with_the_beats_kept_around_it(path: Path) -> None:
    """A named alarm has no signal in the journal; the rhythm is of kept beats, and that is said."""
    (night, _) = journaled_nights(path)
    named, beat = night.drawn
    assert (named.signal, len(beat.around)) == (None, 21)
    assert night.trend is not None
    assert night.trend.median_bpm == pytest.approx(75)
    assert "--record RECORD" in night.trend_says


def test_its_record_adds_the_rhythm_and_the_signal(path: Path, record: Path) -> None:
    """Of the patient whose record it is, found by its name."""
    night, other = journaled_nights(path, [record])
    assert night.drawn[0].signal is not None
    assert night.drawn[0].signal.began == 7000
    assert night.trend is not None
    assert night.trend.n_intervals > 20
    assert night.trend_says == ""
    assert other.trend_says


def test_a_record_that_was_not_monitored_is_refused(path: Path, record: Path) -> None:
    """With those that were."""
    with pytest.raises(InvalidOption, match=r"--record .*x is none that .* monitored; .*: a, b"):
        journaled_nights(path, [record.with_name("x")])


def test_a_damaged_state_is_reported(path: Path) -> None:
    """With which file, and what to do."""
    execute(path, "INSERT INTO progress VALUES ('a', x'00')")
    with pytest.raises(JournalFailed, match=r"night\.sqlite"):
        journaled_nights(path)


def test_of_many_patients_few_alerts_are_drawn() -> None:
    """A page of a ward would be too long and too large."""
    assert (most_drawn_of(1), most_drawn_of(200)) == (10, 3)
