"""The simulated record: a true WFDB record, the same for the same seed, whole or not at all."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import wfdb
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from monitor.errors import InvalidOption, RecordError
from monitor.sources.simulated import (
    DEFAULT_SETTINGS,
    SimulationSettings,
    default_record,
    pack_212,
    write_record,
)
from segmenter.beat import BeatSpec
from segmenter.stream import Segmenter

FS_HZ = 250


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an hour's record with many anomalies and some gaps."""
    path = tmp_path_factory.mktemp("simulated") / "hour"
    write_record(path, SimulationSettings(1.0, seed=3, anomaly_rate=0.1, lead_off_per_hour=6))
    return path


@pytest.fixture(scope="module")
def leads_mv(hour: Path) -> NDArray[np.float64]:
    signal: NDArray[np.float64] = wfdb.rdrecord(str(hour)).p_signal
    return signal


@pytest.fixture(scope="module")
def beats(hour: Path) -> wfdb.Annotation:
    return wfdb.rdann(str(hour), "ecg")


def contents(path: Path) -> list[bytes]:
    return [path.with_suffix(suffix).read_bytes() for suffix in (".hea", ".dat", ".ecg")]


# --- the files --------------------------------------------------------------------------------


def test_record_is_what_chf07_is(hour: Path) -> None:
    """250 Hz, two leads in mV at 200 units a mV, format 212, of the length asked for."""
    header = wfdb.rdheader(str(hour))
    assert (header.fs, header.n_sig, header.sig_len) == (250, 2, 900_000)
    assert header.fmt == ["212", "212"]
    assert header.units == ["mV", "mV"]
    assert header.adc_gain == [200, 200]
    assert header.sig_name == ["ECG1", "ECG2"]
    assert any("seed 3" in comment for comment in header.comments)


def test_header_knows_its_samples(hour: Path) -> None:
    """Initial values and checksums are those of the samples, invalid ones included."""
    record = wfdb.rdrecord(str(hour), physical=False)
    assert record.init_value == record.d_signal[0].tolist()
    summed = [int(total) % 65536 for total in record.d_signal.sum(axis=0)]
    assert [checksum % 65536 for checksum in record.checksum] == summed


def test_packing_is_undone_by_wfdb(tmp_path: Path) -> None:
    """Every 12-bit number survives format 212."""
    digital = np.stack([np.arange(-2048, 2048), np.arange(2047, -2049, -1)], axis=1)
    (tmp_path / "all.dat").write_bytes(pack_212(digital))
    lines = [f"all.dat 212 1(0)/mV 12 0 0 0 0 {lead}" for lead in "ab"]
    (tmp_path / "all.hea").write_text("\n".join(["all 2 250 4096", *lines, ""]))
    read = wfdb.rdrecord(str(tmp_path / "all"), physical=False).d_signal
    np.testing.assert_array_equal(read, digital)


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    """A record is determined by its settings; another seed makes another record."""
    settings = SimulationSettings(0.2, seed=5, anomaly_rate=0.1, lead_off_per_hour=20)
    for folder in ("one", "two"):
        write_record(tmp_path / folder / "record", settings)
    write_record(tmp_path / "other" / "record", SimulationSettings(0.2, 6, 0.1, 20))
    assert contents(tmp_path / "one" / "record") == contents(tmp_path / "two" / "record")
    for one, other in zip(
        contents(tmp_path / "one" / "record"), contents(tmp_path / "other" / "record"), strict=True
    ):
        assert one != other


def test_record_is_made_block_by_block(tmp_path: Path) -> None:
    """Progress rises in steps of one block to 1: memory does not grow with the record."""
    seen: list[float] = []
    write_record(tmp_path / "record", SimulationSettings(3, seed=1), seen.append)
    steps_samples = np.diff([0.0, *seen]) * 3 * 3600 * FS_HZ
    assert seen[-1] == 1.0
    assert (steps_samples >= 0).all()
    assert steps_samples.max() < 200_000
    assert len(seen) > 20


@pytest.mark.parametrize("seconds", [1, 1.3, 60])
def test_short_records_can_be_made(tmp_path: Path, seconds: float) -> None:
    """Down to one second, with at least one beat."""
    write_record(tmp_path / "short", SimulationSettings(seconds / 3600, seed=2))
    assert wfdb.rdrecord(str(tmp_path / "short")).sig_len == round(seconds * FS_HZ)
    assert len(wfdb.rdann(str(tmp_path / "short"), "ecg").sample) >= 1


# --- the signal -------------------------------------------------------------------------------


def test_annotations_hold_every_class(beats: wfdb.Annotation) -> None:
    """N, r, V, S and Q, in rising order, inside the record."""
    assert set(beats.symbol) == {"N", "r", "V", "S", "Q"}
    assert (np.diff(beats.sample) > 0.2 * FS_HZ).all()
    assert beats.sample[0] >= 0
    assert beats.sample[-1] < 900_000
    share = 1 - beats.symbol.count("N") / len(beats.symbol)
    assert share == pytest.approx(0.1, rel=0.15)


def test_annotations_lie_on_the_qrs_extremum(
    beats: wfdb.Annotation, leads_mv: NDArray[np.float64]
) -> None:
    """Within two samples of the first lead's largest deflection within 60 ms, for 99 % of beats.

    The rest are notched beats whose two troughs are equal within the noise.
    """
    steady = butter(2, 1.0, "highpass", fs=FS_HZ, output="sos")
    lead = np.abs(sosfiltfilt(steady, np.nan_to_num(leads_mv[:, 0])))
    reach = 15
    inner = beats.sample[(beats.sample > reach) & (beats.sample < len(lead) - reach)]
    around = lead[inner[:, None] + np.arange(-reach, reach + 1)]
    offset = around.argmax(axis=1) - reach
    assert (np.abs(offset) <= 2).mean() > 0.99


def test_both_leads_hold_a_clear_qrs(beats: wfdb.Annotation, leads_mv: NDArray[np.float64]) -> None:
    """Around each beat the signal spans about a millivolt, far more than the noise."""
    inner = beats.sample[(beats.sample > 30) & (beats.sample < 900_000 - 30)]
    for lead in leads_mv.T:
        around = lead[inner[:, None] + np.arange(-25, 26)]
        span = np.nanmax(around, axis=1) - np.nanmin(around, axis=1)
        assert np.percentile(span, 1) > 0.4
        assert 0.7 < np.median(span) < 2.5


def test_segmenter_finds_the_annotated_beats(
    beats: wfdb.Annotation, leads_mv: NDArray[np.float64]
) -> None:
    """At least 99 % of the beats are found within 150 ms, and 99 % of what is found is a beat."""
    segmenter = Segmenter(FS_HZ, BeatSpec())
    parts = [segmenter.update(leads_mv[:, 0].astype(np.float32)), segmenter.flush()]
    found = np.concatenate([part.beats.r_sample for part in parts])
    window = round(0.15 * FS_HZ)
    assert (_distance(beats.sample, found) <= window).mean() > 0.99
    assert (_distance(found, beats.sample) <= window).mean() > 0.99


def test_normal_beats_are_not_copies(beats: wfdb.Annotation, leads_mv: NDArray[np.float64]) -> None:
    """No two normal beats are nearer to each other than their noise; heights vary by percents."""
    symbol = np.array(beats.symbol)
    normal = beats.sample[(symbol == "N") & (beats.sample > 100)][:300]
    around = leads_mv[normal[:, None] + np.arange(-60, 60), 0]
    around = around[np.isfinite(around).all(axis=1)]
    around -= np.median(around, axis=1, keepdims=True)
    nearest = [np.partition(np.abs(around - one).sum(axis=1), 1)[1] for one in around]
    assert min(nearest) > 1.0  # sum over 120 samples, mV
    depth = -around.min(axis=1)
    assert 0.04 < depth.std() / depth.mean() < 0.3


def test_ventricular_beats_look_different(
    beats: wfdb.Annotation, leads_mv: NDArray[np.float64]
) -> None:
    """A tall T wave after r, a P wave before N only: a detector of shapes can tell them."""
    symbol = np.array(beats.symbol)

    def mean_beat(name: str) -> NDArray[np.float64]:
        chosen = beats.sample[(symbol == name) & (beats.sample > 100)][:-1]
        around = leads_mv[chosen[:, None] + np.arange(-75, 75), 0]
        mean: NDArray[np.float64] = np.nanmean(around, axis=0)
        return mean - np.median(mean)

    normal, ectopic = mean_beat("N"), mean_beat("r")
    t_wave = slice(75 + 25, 75 + 55)  # 100 to 220 ms after R
    assert ectopic[t_wave].mean() > normal[t_wave].mean() + 0.2
    p_wave = slice(75 - 60, 75 - 40)  # 240 to 160 ms before R
    assert normal[p_wave].max() > normal[75 - 35 : 75 - 20].min() + 0.3
    assert ectopic[p_wave].max() < ectopic[p_wave].min() + 0.25


def test_noise_is_there_and_small(leads_mv: NDArray[np.float64]) -> None:
    """Mains and muscle noise of some hundredths of a millivolt, baseline wander of a tenth."""
    minute = leads_mv[: 60 * FS_HZ, 0]  # gaps come later
    spectrum = np.abs(np.fft.rfft(minute * np.hanning(len(minute)))) ** 2
    frequency_hz = np.fft.rfftfreq(len(minute), 1 / FS_HZ)

    def amplitude_mv(low_hz: float, high_hz: float) -> float:
        inside = (frequency_hz > low_hz) & (frequency_hz < high_hz)
        total = spectrum[inside].sum() * 2 / (np.hanning(len(minute)) ** 2).sum() / len(minute)
        return math.sqrt(total)

    mains = amplitude_mv(59.95, 60.05)
    assert 0.003 < mains < 0.008
    assert mains > 3 * amplitude_mv(62.95, 63.05)
    assert 0.004 < amplitude_mv(70, 100) < 0.03
    assert 0.02 < amplitude_mv(0.01, 0.5) < 0.3


def test_second_lead_is_another_view(leads_mv: NDArray[np.float64]) -> None:
    """The leads are related but no multiple of each other."""
    valid = np.isfinite(leads_mv).all(axis=1)
    first, second = leads_mv[valid].T
    correlation = float(np.mean((first - first.mean()) * (second - second.mean())))
    correlation /= float(first.std() * second.std())
    assert 0.1 < abs(correlation) < 0.9


def test_gaps_are_nan_and_hold_no_beats(
    beats: wfdb.Annotation, leads_mv: NDArray[np.float64]
) -> None:
    """Lead-off is missing samples on both leads, 4 to 20 s each, after the first minute."""
    missing = np.isnan(leads_mv)
    np.testing.assert_array_equal(missing[:, 0], missing[:, 1])
    edges = np.flatnonzero(np.diff(missing[:, 0].astype(np.int8)))
    starts, stops = edges[::2], edges[1::2]
    assert 1 <= len(starts) <= 20
    assert starts[0] >= 60 * FS_HZ - 1
    assert (stops - starts >= 4 * FS_HZ - 2).all()
    assert not missing[beats.sample, 0].any()


def test_no_gaps_unless_asked_for(tmp_path: Path) -> None:
    """A record without lead-off has no missing sample."""
    write_record(tmp_path / "record", SimulationSettings(0.5, seed=1))
    assert np.isfinite(wfdb.rdrecord(str(tmp_path / "record")).p_signal).all()


def _distance(here: NDArray[np.int64], there: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how far each of `here` is from the nearest of `there`."""
    right = np.clip(np.searchsorted(there, here), 1, len(there) - 1)
    distance: NDArray[np.int64] = np.minimum(
        np.abs(there[right] - here), np.abs(there[right - 1] - here)
    )
    return distance


@pytest.mark.parametrize("block_beats", [1, 2, 3, 50])
@pytest.mark.parametrize("seconds", [20, 20.5, 21, 21.5])
def test_no_beat_is_lost_between_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_beats: int, seconds: float
) -> None:
    """Wherever the blocks end, every beat is annotated once and no sample is missing."""
    monkeypatch.setattr("monitor.sources.simulated.BLOCK_BEATS", block_beats)
    write_record(tmp_path / "record", SimulationSettings(seconds / 3600, seed=4, anomaly_rate=0))
    record = wfdb.rdrecord(str(tmp_path / "record"))
    rr_s = np.diff(wfdb.rdann(str(tmp_path / "record"), "ecg").sample) / FS_HZ
    assert record.sig_len == round(seconds * FS_HZ)
    assert rr_s.min() > 0.5
    assert rr_s.max() < 1.1


# --- what can go wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"hours": 0.0},
        {"hours": -1.0},
        {"hours": 1001.0},
        {"hours": math.nan},
        {"hours": math.inf},
        {"seed": -1},
        {"seed": 1.5},
        {"anomaly_rate": -0.1},
        {"anomaly_rate": 0.51},
        {"anomaly_rate": math.nan},
        {"lead_off_per_hour": -1.0},
        {"lead_off_per_hour": math.inf},
        {"first_anomaly_s": -1.0},
        {"first_anomaly_s": 3601.0},
    ],
)
def test_absurd_settings_are_refused(wrong: dict[str, float]) -> None:
    """One line that names the value."""
    with pytest.raises(InvalidOption) as caught:
        SimulationSettings(**({"hours": 1.0, "seed": 1} | wrong))  # type: ignore[arg-type]
    assert repr(next(iter(wrong.values()))) in str(caught.value)


@pytest.mark.parametrize("name", ["a.b", "a b", "..", "a\n", "é", "x" * 101])
def test_names_that_wfdb_cannot_read_are_refused(tmp_path: Path, name: str) -> None:
    """Letters, digits, - and _ only; nothing is written."""
    with pytest.raises(InvalidOption) as caught:
        write_record(tmp_path / "folder" / name, SimulationSettings(0.01, seed=1))
    assert str(caught.value).isprintable()
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("suffix", [".hea", ".dat", ".ecg"])
def test_existing_record_is_kept(tmp_path: Path, suffix: str) -> None:
    """Any of its files is enough; overwriting has to be asked for."""
    path = tmp_path / "mine"
    path.with_suffix(suffix).write_bytes(b"precious")
    with pytest.raises(RecordError, match="exists already"):
        write_record(path, SimulationSettings(0.01, seed=1))
    assert path.with_suffix(suffix).read_bytes() == b"precious"
    write_record(path, SimulationSettings(0.01, seed=1), overwrite=True)
    assert wfdb.rdrecord(str(path)).sig_len == 9000


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordError, match="cannot write the record"):
        write_record(tmp_path / "file" / "record", SimulationSettings(0.01, seed=1))


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_nothing_stays_behind(tmp_path: Path, error: type[BaseException]) -> None:
    """Ctrl-C or a full disk half-way leaves an empty folder."""

    def fail(share: float) -> None:
        raise error

    with pytest.raises((KeyboardInterrupt, RecordError)):
        write_record(tmp_path / "record", SimulationSettings(0.5, seed=1), fail)
    assert list(tmp_path.iterdir()) == []


def test_interrupted_overwrite_keeps_the_old_record(tmp_path: Path) -> None:
    """The old files are replaced only once the new ones are whole."""
    path = tmp_path / "record"
    write_record(path, SimulationSettings(0.01, seed=1))
    before = contents(path)

    def fail(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_record(path, SimulationSettings(0.5, seed=2), fail, overwrite=True)
    assert contents(path) == before


# --- the default record -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    cache = tmp_path_factory.mktemp("cache")
    return cache, default_record(cache)


def test_default_record_shows_an_anomaly_soon(cached: tuple[Path, Path]) -> None:
    """The first is between 8 and 30 s, several follow within five minutes."""
    beats = wfdb.rdann(str(cached[1]), "ecg")
    time_s = beats.sample[np.array(beats.symbol) != "N"] / FS_HZ
    assert 8 < time_s[0] < 30
    assert (time_s < 300).sum() >= 5


def test_default_record_is_made_once(cached: tuple[Path, Path]) -> None:
    """The second call finds it; no file is touched and no progress is reported."""
    cache, path = cached
    changed = path.with_suffix(".dat").stat().st_mtime_ns
    seen: list[float] = []
    assert default_record(cache, seen.append) == path
    assert seen == []
    assert path.with_suffix(".dat").stat().st_mtime_ns == changed


def test_broken_default_record_is_made_again(tmp_path: Path, cached: tuple[Path, Path]) -> None:
    """A truncated signal file in the cache is replaced."""
    folder = tmp_path / "simulated"
    folder.mkdir()
    for suffix in (".hea", ".ecg"):
        source = cached[1].with_suffix(suffix)
        (folder / source.name).write_bytes(source.read_bytes())
    (folder / f"{cached[1].name}.dat").write_bytes(b"half")
    path = default_record(tmp_path)
    assert contents(path) == contents(cached[1])


def test_default_record_made_twice_at_once(tmp_path: Path, cached: tuple[Path, Path]) -> None:
    """Two that start together get the same whole record, and no temporary folder stays."""
    with ThreadPoolExecutor(2) as pool:
        paths = list(pool.map(default_record, [tmp_path, tmp_path]))
    assert paths[0] == paths[1]
    assert contents(paths[0]) == contents(cached[1])
    assert len(list(paths[0].parent.iterdir())) == 3


def test_unwritable_cache_says_what_to_do(tmp_path: Path) -> None:
    """One line with the way out."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RecordError, match="ecg-monitor simulate"):
        default_record(tmp_path / "file")


def test_default_settings_are_an_hour() -> None:
    """Long enough to watch, short enough to make at once."""
    assert DEFAULT_SETTINGS.hours == 1.0
