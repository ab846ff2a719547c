"""A simulated record in the style of chf07: a true WFDB record with beat annotations.

250 Hz, two leads, format 212, `.ecg` annotations N, r, V, S and Q in chf07's proportions. The same
settings give the same bytes, with the same versions of numpy and scipy.

The record is made in blocks of beats: nothing but the beats' times, classes and joints is held for
the whole record.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import platformdirs
import wfdb
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from monitor.errors import InvalidOption, RecordError
from monitor.sources.beat_shapes import (
    VENTRICULAR,
    WINDOW_SAMPLES,
    draw_joints,
    draw_windows,
    knot_times,
    load_shapes,
)
from monitor.sources.simulated_events import Event, EventSignals, notes, with_events
from monitor.sources.simulated_rhythm import CHF07_ANOMALY_RATE, CLASS_COUNTS, Rhythm, draw_rhythm
from monitor.sources.wfdb_header import RECORD_NAME

Floats = NDArray[np.float64]

SIMULATOR_VERSION = 1  # rises when the same settings give other bytes: cached records are renewed
FS_HZ = 250
MAX_HOURS = 1000.0
MAX_ANOMALY_RATE = 0.5
MAX_LEAD_OFF_PER_HOUR = 60.0
BLOCK_BEATS = 512  # about 100,000 samples

LEAD_NAMES = ("ECG1", "ECG2")  # as chf07 names its leads
GAIN_PER_MV = 200  # ADC units, as in chf07
ADC_LIMIT = 2047  # format 212 holds 12 bits
INVALID = -2048  # WFDB's mark of a missing sample in format 212

QRS_DEPTH_MV = 1.2
BREATH_GAIN = 0.04  # the QRS grows and shrinks with respiration by this share
LEAD2_DELAY_S = 0.012  # the heart's vector turns: the second lead sees it later
LEAD2_COMMON = 0.25  # what the second lead shares with the first
LEAD2_NORMAL, LEAD2_VENTRICULAR = -0.75, 0.5  # an ectopic focus has another axis
PEAK_SEARCH_S = 0.06  # the QRS extremum lies this near the joint of two windows

RESPIRATION_HZ = (0.15, 0.35)
DRIFT_HZ = 0.05
MUSCLE_HZ = (15.0, 100.0)
MAINS_HZ = 60.0
RESPIRATION_MV, DRIFT_MV, MUSCLE_MV, MAINS_MV = 0.05, 0.06, 0.012, 0.006
BURST_HZ, BURST_DEPTH = 0.02, 0.5  # muscle noise swells and fades within a minute

GAP_S = (4.0, 20.0)
FIRST_GAP_S = 60.0  # the first minute is for learning

ANNOTATION_EXTENSION = "ecg"  # chf07's own


@dataclass(frozen=True)
class SimulationSettings:
    """What a simulated record shall be.

    Parameters
    ----------
    hours : float
        Length; at least one second, at most 1000 h.
    seed : int
        Where chance starts; not negative.
    anomaly_rate : float, optional
        Share of beats that are not N, 0 to 0.5; none is chf07's 2.2 %.
    lead_off_per_hour : float
        How often both leads come off for 4 to 20 s, on average; not in the first minute.
    first_anomaly_s : float, optional
        No anomaly comes before this time, and one comes within 2 s after it, if any may come.
    scenario : tuple of Event
        Events at given times; see `monitor.sources.simulated_events`.

    Raises
    ------
    InvalidOption
        If a value is out of bounds.
    """

    hours: float
    seed: int
    anomaly_rate: float | None = None
    lead_off_per_hour: float = 0.0
    first_anomaly_s: float | None = None
    scenario: tuple[Event, ...] = ()

    def __post_init__(self) -> None:
        if not 1 / 3600 <= self.hours <= MAX_HOURS:
            raise InvalidOption(
                f"--hours {self.hours!r} is out of range; use one second (0.0003) to "
                f"{MAX_HOURS:g} hours"
            )
        if not isinstance(self.seed, int) or self.seed < 0:
            raise InvalidOption(
                f"--seed {self.seed!r} is out of range; use a whole number from 0 up"
            )
        if self.anomaly_rate is not None and not 0 <= self.anomaly_rate <= MAX_ANOMALY_RATE:
            raise InvalidOption(
                f"--anomaly-rate {self.anomaly_rate!r} is out of range; use a share of 0 to "
                f"{MAX_ANOMALY_RATE}"
            )
        if not 0 <= self.lead_off_per_hour <= MAX_LEAD_OFF_PER_HOUR:
            raise InvalidOption(
                f"--lead-off-per-hour {self.lead_off_per_hour!r} is out of range; use 0 to "
                f"{MAX_LEAD_OFF_PER_HOUR:g}"
            )
        if self.first_anomaly_s is not None and not 0 <= self.first_anomaly_s <= self.duration_s:
            raise InvalidOption(
                f"first anomaly at {self.first_anomaly_s!r} s is outside the record; set it inside"
            )
        if self.scenario and self.scenario[-1].until_s > self.duration_s:
            raise InvalidOption(
                f"{self.scenario[-1].kind} ends at {self.scenario[-1].until_s:g} s, after the "
                f"record of {self.duration_s:g} s; make it longer with --hours"
            )

    @property
    def n_samples(self) -> int:
        """Samples of each lead."""
        return round(self.hours * 3600 * FS_HZ)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.hours * 3600


DEFAULT_SETTINGS = SimulationSettings(
    hours=1.0, seed=7, anomaly_rate=0.03, lead_off_per_hour=2.0, first_anomaly_s=12.0
)


def write_record(
    path: Path,
    settings: SimulationSettings,
    on_progress: Callable[[float], None] | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a simulated WFDB record: `path` with the suffixes .hea, .dat and .ecg.

    Written whole or not at all: the files are made in a temporary folder beside the target and
    renamed at the end, the header last, so that where there is a header there is a record.

    Parameters
    ----------
    path : Path
        The record, without suffix.
    settings : SimulationSettings
        What it shall be.
    on_progress : callable, optional
        Called with the share done, 0 to 1.
    overwrite : bool
        Replace the record if there is one.

    Raises
    ------
    InvalidOption
        If WFDB does not allow the name.
    RecordError
        If the record exists already or its folder cannot be written.
    """
    path = Path(path)
    if not RECORD_NAME.fullmatch(path.name):
        raise InvalidOption(
            f"{path.name!r} cannot name a WFDB record; use letters, digits, - and _, without a "
            "suffix"
        )
    _refuse_existing(path, overwrite)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            made = Path(folder) / path.name
            _write_files(made, settings, on_progress or (lambda _: None))
            _refuse_existing(path, overwrite)
            for suffix in (".dat", f".{ANNOTATION_EXTENSION}", ".hea"):
                made.with_suffix(suffix).replace(path.with_suffix(suffix))
    except OSError as error:
        raise RecordError(
            f"cannot write the record {path}: {error.strerror or error}; choose another folder"
        ) from error


def default_record(
    cache_dir: Path | None = None, on_progress: Callable[[float], None] | None = None
) -> Path:
    """Return the record that is shown when none is named; it is made once and then kept.

    Parameters
    ----------
    cache_dir : Path, optional
        Where it is kept; none is the user's cache folder.
    on_progress : callable, optional
        Called with the share done, 0 to 1, while it is made.

    Returns
    -------
    Path
        The record, without suffix.

    Raises
    ------
    RecordError
        If the cache folder cannot be written.
    """
    path = records_folder(cache_dir) / f"chf07-style-v{SIMULATOR_VERSION}"
    return kept_record(path, DEFAULT_SETTINGS, on_progress)


def records_folder(cache_dir: Path | None) -> Path:
    """Return where simulated records are kept, in the user's cache folder or another."""
    return (cache_dir or Path(platformdirs.user_cache_dir("ecg-monitor"))) / "simulated"


def kept_record(
    path: Path, settings: SimulationSettings, on_progress: Callable[[float], None] | None
) -> Path:
    """Return the record of these settings at `path`, which is made if it is not whole.

    Raises
    ------
    RecordError
        If it cannot be written.
    """
    # Two processes at once write the same bytes; the later one replaces equal by equal.
    if not _is_whole(path, settings):
        try:
            write_record(path, settings, on_progress, overwrite=True)
        except RecordError as error:
            raise RecordError(
                f"{error}, or make a record with `ecg-monitor simulate` and replay that"
            ) from error
    return path


def _refuse_existing(path: Path, overwrite: bool) -> None:
    for suffix in (".hea", ".dat", f".{ANNOTATION_EXTENSION}"):
        file = path.with_suffix(suffix)
        if not overwrite and os.path.lexists(file):
            raise RecordError(f"{file} exists already; choose another name or add --overwrite")


def _is_whole(path: Path, settings: SimulationSettings) -> bool:
    """Return whether the three files are there, with all the samples."""
    with suppress(OSError):
        return (
            path.with_suffix(".hea").stat().st_size > 0
            and path.with_suffix(f".{ANNOTATION_EXTENSION}").stat().st_size > 0
            and path.with_suffix(".dat").stat().st_size == 3 * settings.n_samples
        )
    return False


def _write_files(
    path: Path, settings: SimulationSettings, on_progress: Callable[[float], None]
) -> None:
    """Write the three files of a record that nobody else knows of yet."""
    first = np.zeros(2, dtype=np.int64)
    total = np.zeros(2, dtype=np.int64)
    samples: list[NDArray[np.int64]] = []
    symbols: list[NDArray[np.str_]] = []
    done = 0
    with path.with_suffix(".dat").open("wb") as file:
        for block in _draw_blocks(settings):
            if done == 0:
                first = block.digital[0]
            file.write(pack_212(block.digital))
            total += block.digital.sum(axis=0)
            samples.append(block.annotation_sample)
            symbols.append(block.annotation_symbol)
            done += len(block.digital)
            on_progress(done / settings.n_samples)
    _write_annotations(path, settings, np.concatenate(samples), np.concatenate(symbols))
    path.with_suffix(".hea").write_text(
        _header(path.name, settings, first, total), encoding="ascii"
    )


def _write_annotations(
    path: Path,
    settings: SimulationSettings,
    samples: NDArray[np.int64],
    symbols: NDArray[np.str_],
) -> None:
    """Write the beats, and where a scenario's rhythms begin."""
    changes = notes(settings.scenario, FS_HZ, settings.n_samples)
    at = np.concatenate([samples, np.array([sample for sample, _ in changes], np.int64)])
    order = np.argsort(at, kind="stable")
    marks = [*symbols.tolist(), *["+"] * len(changes)]
    told = [*[""] * len(samples), *(note for _, note in changes)]
    wfdb.wrann(
        path.name,
        ANNOTATION_EXTENSION,
        at[order],
        symbol=[marks[k] for k in order],
        aux_note=[told[k] for k in order] if changes else None,
        fs=FS_HZ,
        write_dir=str(path.parent),
    )


def pack_212(digital: NDArray[np.int64]) -> bytes:
    """Return samples in WFDB's format 212: two 12-bit two's-complement numbers in three bytes.

    Parameters
    ----------
    digital : np.ndarray, shape (n, 2)
        ADC units of two leads, -2048 to 2047.
    """
    first, second = (digital & 0xFFF).T
    packed = np.empty((len(digital), 3), dtype=np.uint8)
    packed[:, 0] = first & 0xFF
    packed[:, 1] = (first >> 8) | ((second >> 8) << 4)
    packed[:, 2] = second & 0xFF
    return packed.tobytes()


def _header(
    name: str, settings: SimulationSettings, first: NDArray[np.int64], total: NDArray[np.int64]
) -> str:
    """Return the text of the header: see header(5) of WFDB."""
    lines = [f"{name} {len(LEAD_NAMES)} {FS_HZ} {settings.n_samples}"]
    for lead, initial, summed in zip(LEAD_NAMES, first, total, strict=True):
        checksum = (int(summed) + 0x8000) % 0x10000 - 0x8000  # a signed 16-bit sum
        lines.append(f"{name}.dat 212 {GAIN_PER_MV}(0)/mV 12 0 {initial} {checksum} 0 {lead}")
    simple = {key: value for key, value in asdict(settings).items() if key != "scenario"}
    chosen = ", ".join(f"{key} {value}" for key, value in simple.items())
    lines.append(f"# Simulated by ecg-monitor, version {SIMULATOR_VERSION} of the simulator.")
    lines.append(f"# Settings: {chosen}")
    lines += [
        f"# Event: {event.kind} at {event.at_s:g} s for {event.for_s:g} s"
        for event in settings.scenario
    ]
    lines.append("# Beat shapes from ECG5000, of BIDMC record chf07 (PhysioNet, ODC-By 1.0).")
    return "\n".join(lines) + "\n"


# --- the signal -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Block:
    """Neighbouring samples and the beats annotated in them."""

    digital: NDArray[np.int64]  # (n, 2), ADC units
    annotation_sample: NDArray[np.int64]  # from the record's start
    annotation_symbol: NDArray[np.str_]


def _draw_blocks(settings: SimulationSettings) -> Iterator[_Block]:
    """Yield the record block by block."""
    rhythm_rng, gap_rng, noise_rng, shape_rng = (
        np.random.default_rng(child) for child in np.random.SeedSequence(settings.seed).spawn(4)
    )
    rate = CHF07_ANOMALY_RATE if settings.anomaly_rate is None else settings.anomaly_rate
    coupling = {name: load_shapes()[name].rr_ratio for name in CLASS_COUNTS}
    rhythm = draw_rhythm(settings.duration_s, rate, settings.first_anomaly_s, coupling, rhythm_rng)
    event_rng = np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=(4,)))
    rhythm = with_events(rhythm, settings.scenario, event_rng)
    signals = EventSignals(settings.scenario, FS_HZ, event_rng)
    gaps = _draw_gaps(settings, gap_rng)
    noise = [_Noise(child) for child in noise_rng.spawn(2)]
    for start, clean_mv, peaks, symbols in _draw_clean(rhythm, settings.n_samples, shape_rng):
        stop = start + len(clean_mv)
        noisy_mv = clean_mv + np.stack([lead.draw(start, stop) for lead in noise], axis=1)
        if settings.scenario:
            noisy_mv += signals.added_mv(start, stop)
            noisy_mv[signals.is_off(start, stop)] = 0.0
        digital = np.clip(np.rint(noisy_mv * GAIN_PER_MV), -ADC_LIMIT, ADC_LIMIT).astype(np.int64)
        in_gap = _inside(np.arange(start, stop), gaps)
        digital[in_gap] = INVALID
        seen = ~_inside(peaks, gaps)
        if len(peaks):
            first, last = int(peaks.min()), int(peaks.max()) + 1
            seen &= ~signals.is_off(first, last)[peaks - first]
        yield _Block(digital, peaks[seen], symbols[seen])


def _draw_clean(
    rhythm: Rhythm, n_samples: int, rng: np.random.Generator
) -> Iterator[tuple[int, Floats, NDArray[np.int64], NDArray[np.str_]]]:
    """Yield first sample, ECG without noise (n, 2) in mV, and QRS peaks with their classes."""
    shapes = load_shapes()
    joints = draw_joints(shapes, rhythm.symbol, rng)
    reach = round(PEAK_SEARCH_S * FS_HZ)
    knots_s = np.empty(0)
    knots_mv = np.empty((0, 2))
    lead1_mv = np.empty(0)  # what was rendered and may still hold the peak of the last beat
    # The last window may begin at the record's end: it is never a block of its own.
    n_windows = len(rhythm.time_s) - 1
    edges = [*range(0, max(1, n_windows - 1), BLOCK_BEATS), n_windows]
    for first, last in pairwise(edges):
        beats = slice(first, last + 1)
        new_s, new_mv = _draw_knots(rhythm, joints, beats, rng)
        # The second lead lags: it needs the end of the block before.
        knots_s = np.concatenate([knots_s, new_s])
        knots_mv = np.concatenate([knots_mv, new_mv])
        start = max(0, math.ceil(rhythm.time_s[first] * FS_HZ))
        stop = min(n_samples, math.ceil(rhythm.time_s[beats][-1] * FS_HZ))
        clean_mv = _render(knots_s, knots_mv, start, stop)
        # A block's last knot is the next one's first.
        knots_s, knots_mv = knots_s[-WINDOW_SAMPLES:-1], knots_mv[-WINDOW_SAMPLES:-1]

        # The peak of the block's last beat may lie in the next one: that block finds it.
        searched = np.concatenate([lead1_mv, clean_mv[:, 0]])
        centres = np.rint(rhythm.time_s[beats][:-1] * FS_HZ).astype(np.int64)
        peaks = _find_peaks(searched, start - len(lead1_mv), centres, reach)
        inside = (centres >= 0) & (peaks >= 0) & (peaks < n_samples)
        lead1_mv = searched[-2 * reach :]
        yield start, clean_mv, peaks[inside], rhythm.symbol[beats][:-1][inside]


def _draw_knots(
    rhythm: Rhythm, joints: Floats, beats: slice, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draw the points that the ECG of these beats goes through: time (k,) and mV (k, 2)."""
    time_s, symbol = rhythm.time_s[beats], rhythm.symbol[beats]
    windows, head_rr_s, tail_rr_s = draw_windows(load_shapes(), symbol, joints[beats], rng)
    times_s = time_s[:-1, None] + knot_times(np.diff(time_s), head_rr_s, tail_rr_s)
    height_mv = QRS_DEPTH_MV * (1 + BREATH_GAIN * rhythm.respiration[beats])
    axis = np.where(np.isin(symbol, VENTRICULAR), LEAD2_VENTRICULAR, LEAD2_NORMAL)
    along = np.linspace(0, 1, windows.shape[1])
    lead1_mv = windows * _between(height_mv, along)
    lead2_mv = lead1_mv * _between(axis, along)
    lead_mv = np.stack([_chain(lead1_mv), _chain(lead2_mv)], axis=1)
    return _chain(times_s), lead_mv


def _chain(windows: Floats) -> Floats:
    """Return the windows one after the other; a window's last point is the next one's first."""
    return np.append(windows[:, :-1].ravel(), windows[-1, -1])


def _between(at_beat: Floats, along: Floats) -> Floats:
    """Return values between neighbouring beats, shape (n - 1, len(along))."""
    return at_beat[:-1, None] * (1 - along) + at_beat[1:, None] * along


def _render(knots_s: Floats, knots_mv: Floats, start: int, stop: int) -> Floats:
    """Return the samples [start, stop) of both leads, shape (n, 2), in mV."""
    time_s = np.arange(start, stop) / FS_HZ
    lead1 = np.interp(time_s, knots_s, knots_mv[:, 0])
    turned = np.interp(time_s - LEAD2_DELAY_S, knots_s, knots_mv[:, 1])
    return np.stack([lead1, LEAD2_COMMON * lead1 + turned], axis=1)


def _find_peaks(
    lead_mv: Floats, first_sample: int, centres: NDArray[np.int64], reach: int
) -> NDArray[np.int64]:
    """Return where the lead is furthest from its level within `reach` samples of each centre."""
    around = centres[:, None] + np.arange(-reach, reach + 1) - first_sample
    inside = (around >= 0) & (around < len(lead_mv))
    height = np.abs(lead_mv[np.clip(around, 0, max(0, len(lead_mv) - 1))])
    furthest: NDArray[np.int64] = np.argmax(np.where(inside, height, -1.0), axis=1)
    return centres - reach + furthest


def _draw_gaps(
    settings: SimulationSettings, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return first samples of the lead-off gaps, and the ones after the last; none overlap."""
    n_gaps = rng.poisson(settings.lead_off_per_hour * settings.hours)
    room_s = max(0.0, settings.duration_s - FIRST_GAP_S)
    start = np.sort(FIRST_GAP_S + room_s * rng.uniform(size=n_gaps))
    stop = start + rng.uniform(*GAP_S, size=n_gaps)
    stop[:-1] = np.minimum(stop[:-1], start[1:])
    return (start * FS_HZ).astype(np.int64), (stop * FS_HZ).astype(np.int64)


def _inside(
    samples: NDArray[np.int64], gaps: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> NDArray[np.bool_]:
    start, stop = gaps
    latest = np.searchsorted(start, samples, side="right") - 1
    if not len(start):
        return np.zeros(len(samples), dtype=np.bool_)
    inside: NDArray[np.bool_] = (latest >= 0) & (samples < stop[np.maximum(latest, 0)])
    return inside


class _Noise:
    """What is added to one lead: baseline wander, muscle noise, mains; continues over blocks."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._phase = rng.uniform(0, 2 * np.pi)
        self._breath = _Band(RESPIRATION_HZ, "bandpass", rng)
        self._drift = _Band(DRIFT_HZ, "lowpass", rng)
        self._muscle = _Band(MUSCLE_HZ, "bandpass", rng)
        self._burst = _Band(BURST_HZ, "lowpass", rng)

    def draw(self, start: int, stop: int) -> Floats:
        """Return the noise of samples [start, stop), in mV; continues where the last call ended."""
        n = stop - start
        wander = RESPIRATION_MV * self._breath.draw(n) + DRIFT_MV * self._drift.draw(n)
        muscle = MUSCLE_MV * self._muscle.draw(n) * np.exp(BURST_DEPTH * self._burst.draw(n))
        mains = MAINS_MV * np.sin(
            2 * np.pi * MAINS_HZ / FS_HZ * np.arange(start, stop) + self._phase
        )
        noise: Floats = wander + muscle + mains
        return noise


class _Band:
    """Gaussian noise of one band, standard deviation 1, with carried filter state."""

    def __init__(
        self, band_hz: float | tuple[float, float], kind: str, rng: np.random.Generator
    ) -> None:
        self._rng = rng
        self._sos = butter(2, band_hz, kind, fs=FS_HZ, output="sos")
        # The filter passes this share of white noise's variance: its energy, by Parseval.
        impulse = np.zeros(FS_HZ * 240)  # the slowest band, 0.02 Hz, has settled long before
        impulse[0] = 1.0
        self._gain = 1 / math.sqrt(float((sosfilt(self._sos, impulse) ** 2).sum()))
        self._state = np.zeros((len(self._sos), 2))
        self.draw(FS_HZ * 60)  # past the filter's rise from zero

    def draw(self, n: int) -> Floats:
        white = self._rng.standard_normal(n)
        noise, self._state = sosfilt(self._sos, white, zi=self._state)
        scaled: Floats = self._gain * noise
        return scaled
