"""One record's bench: what is scaled, what counts as growth, what a page says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.sources.simulated import SimulationSettings, write_record
from tools import bench_record
from tools.bench_record import (
    BEAT_SAMPLES,
    SLICE_S,
    Memory,
    Published,
    Run,
    heaviest,
    imports_part,
    neurokit_beats,
    run_ours_on_slice,
)
from tools.measured import Measured


def test_the_published_way_is_scaled_by_signal_and_by_beats() -> None:
    """Segmentation goes with the seconds, scoring with the beats."""
    published = Published(segment_s=2.0, score_s=10.0, n_beats=100, auc=None)
    assert published.of_record_s(3 * SLICE_S, 500) == pytest.approx(6.0 + 50.0)


def test_growth_leaves_the_start_out() -> None:
    """Processes that still start are no growth; what grows after a third of the run is."""
    starting = [float(mb) for mb in range(0, 400, 20)]
    flat = Memory([0.0] * 100, starting + [400.0] * 80)
    assert flat.growth_mb() == 0.0
    leaking = Memory([0.0] * 100, starting + [400.0 + mb for mb in range(80)])
    assert leaking.growth_mb() == pytest.approx(50.0)


def test_imports_are_summed_by_library() -> None:
    """Self times count, cumulative ones would count twice; the header is passed over."""
    report = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:      2000 |       9000 | scipy.signal\n"
        "import time:      3000 |       3000 |   scipy\n"
        "import time:      1000 |       1000 | numpy\n"
    )
    assert heaviest(report) == "scipy 5 ms, numpy 1 ms"


def test_what_a_process_imports_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """In an interpreter of its own, with its memory."""
    monkeypatch.setattr(bench_record, "PROCESSES", {"parent": "json"})
    found = imports_part(Run(Path(), None, 1.0, 1))
    (row,) = [line for line in found.text.splitlines() if line.startswith("| parent")]
    _, _, cpu_s, peak_mb, _, _ = (cell.strip() for cell in row.split("|"))
    assert 0 < float(cpu_s) < 10
    assert 1 < float(peak_mb) < 200
    assert found.figures["startup.imports"] == pytest.approx([float(cpu_s)], abs=0.01)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("record") / "simulated"
    write_record(path, SimulationSettings(hours=0.05, seed=7))
    return path


def test_beats_of_the_published_way_are_cut_as_ecg5000s(record: Path) -> None:
    """From R peak to R peak, 140 samples, mean 0 and standard deviation 1."""
    pytest.importorskip("neurokit2")
    signal, fs_hz = bench_record.read_signal(str(record), 0.0, 60.0)
    beats, r_samples = neurokit_beats(signal, fs_hz)
    assert beats.shape == (len(r_samples), BEAT_SAMPLES)
    assert 40 < len(beats) < 120
    np.testing.assert_allclose(beats.mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(beats.std(axis=1, ddof=1), 1, rtol=1e-4)


def test_our_losses_rank_the_slice(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beats annotated as anomalous lie above the others."""
    monkeypatch.setattr(bench_record, "SLICE_FROM_S", 10.0)
    monkeypatch.setattr(bench_record, "AUC_S", 160.0)
    assert run_ours_on_slice(str(record)) > 0.95


def test_growth_is_measured_in_rounds(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line through each round's CPU times; headlines only of the whole record; a plot."""

    def fake_replay(_folder: Path, hours: float) -> Measured:
        return Measured("", 3 + hours, 5 + 2 * hours, (100.0, 200.0))

    monkeypatch.setattr(bench_record, "replay", fake_replay)
    monkeypatch.setattr(Run, "record", lambda _self: None)
    found = bench_record.growth_part(Run(record.parent, tmp_path, 20.0, 2))
    assert found.figures["record.start_s"] == pytest.approx([5, 5])
    assert found.figures["record.hour_s"] == pytest.approx([2, 2])
    assert "| 20 | 3,130 | 45.0 (45.0 to 45.0) | 23.0 (23.0 to 23.0) | 300" in found.text
    assert (tmp_path / "growth.png").stat().st_size > 5000
    assert not bench_record.growth_part(Run(record.parent, None, 5.0, 1)).figures
