"""One record's bench: what is scaled, what counts as growth, what a page says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monitor.sources.simulated import SimulationSettings, write_record
from tools import bench_record
from tools.bench_record import (
    BEAT_SAMPLES,
    PROCESSES,
    SLICE_S,
    Published,
    growth_mb,
    neurokit_beats,
    run_ours_on_slice,
)


def test_the_published_way_is_scaled_by_signal_and_by_beats() -> None:
    """Segmentation goes with the seconds, scoring with the beats."""
    published = Published(segment_s=2.0, score_s=10.0, n_beats=100, auc=None)
    assert published.of_record_s(3 * SLICE_S, 500) == pytest.approx(6.0 + 50.0)


def test_growth_leaves_the_start_out() -> None:
    """Processes that still start are no growth; what grows after a third of the run is."""
    starting = [float(mb) for mb in range(0, 400, 20)]
    assert growth_mb(starting + [400.0] * 80) == 0.0
    leaking = starting + [400.0 + mb for mb in range(80)]
    assert growth_mb(leaking) == pytest.approx(50.0)


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


def test_what_a_process_imports_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Of all four, each in an interpreter of its own, with its memory."""
    assert bench_record.main(["--quick", "--only", "imports"]) == 0
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")][2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| {name}" for name in PROCESSES]
    for row in rows:
        _, cpu_s, peak_mb = row.rstrip(" |").split(" | ")
        assert 0 < float(cpu_s) < 10
        assert 1 < float(peak_mb) < 400


@pytest.mark.slow
def test_growth_and_memory_are_measured(tmp_path: Path) -> None:
    """Real replays of three minutes; plots; headlines only of the whole record."""
    options = ["--only", "growth", "--only", "memory", "--hours", "0.05", "--times", "1"]
    assert bench_record.main([*options, "--out", str(tmp_path)]) == 0
    assert "| 0.05 | " in (tmp_path / "record.md").read_text()
    for plot in ("growth.png", "memory.png"):
        assert (tmp_path / plot).stat().st_size > 5000
    assert (tmp_path / "figures.json").read_text() == "{}\n"
