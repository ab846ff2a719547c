"""Events at given times in a simulated record: what a named alarm must find, without a patient.

A scenario is a list of events. Those of the rhythm move, add and take beats; fibrillation, noise
and a lead that is off change the signal. The annotations are those of the MIT-BIH Malignant
Ventricular Ectopy and Arrhythmia databases: beats, and `+` with the rhythm that begins.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.errors import InvalidOption
from monitor.sources.simulated_rhythm import Rhythm
from monitor.text_file import unmarked

Floats = NDArray[np.float64]
EventKind = Literal[
    "asystole",
    "ventricular_fibrillation",
    "ventricular_tachycardia",
    "ventricular_run",
    "tachycardia",
    "bradycardia",
    "pause",
    "atrial_fibrillation",
    "lead_off",
    "noise",
]

RHYTHM_NOTES: Mapping[EventKind, str] = {  # as the MIT-BIH databases write them
    "asystole": "(ASYS",
    "ventricular_fibrillation": "(VF",
    "ventricular_tachycardia": "(VT",
    "ventricular_run": "(VT",
    "tachycardia": "(SVTA",
    "bradycardia": "(SBR",
    "pause": "(N",
    "atrial_fibrillation": "(AFIB",
    "lead_off": "(NOISE",
    "noise": "(NOISE",
}
NORMAL_NOTE = "(N"
RR_S: Mapping[EventKind, float] = {  # between the beats of an event
    "ventricular_tachycardia": 0.375,  # 160 a minute
    "ventricular_run": 0.4,
    "tachycardia": 0.4,  # 150 a minute
    "bradycardia": 1.7,  # 35 a minute
    "atrial_fibrillation": 0.48,  # 125 a minute
}
FIBRILLATION_SPREAD = 0.22  # of the RR intervals, over their mean: irregularly irregular
SHORTEST_RR_S = 0.3
RUN_BEATS = 4
WITHOUT_BEATS: frozenset[EventKind] = frozenset(("asystole", "ventricular_fibrillation", "pause"))
BEFORE_NEXT_S = 0.7  # the sinus node takes over so long after an event's last beat at least

FIBRILLATION_HZ = (3.5, 6.5)  # coarse; 210 to 390 a minute
FIBRILLATION_MV = 0.7
N_WAVES = 5
NOISE_HZ = (1.0, 20.0)  # where electrodes that move and muscles lie over the QRS complexes
NOISE_MV = 0.8
FADE_S = 0.25
MAX_EVENTS = 1000
MAX_SCENARIO_BYTES = 1 << 16


@dataclass(frozen=True)
class Event:
    """One event.

    Parameters
    ----------
    kind : str
    at_s, for_s : float
        When it begins, from the record's start, and how long it lasts.

    Raises
    ------
    InvalidOption
        If a value is out of bounds.
    """

    kind: EventKind
    at_s: float
    for_s: float

    def __post_init__(self) -> None:
        if self.kind not in get_args(EventKind):
            raise InvalidOption(
                f"event {self.kind!r} is unknown; use one of {', '.join(get_args(EventKind))}"
            )
        if not (0 <= self.at_s <= 1e8 and 0 < self.for_s <= 1e6):
            raise InvalidOption(
                f"event {self.kind} at {self.at_s!r} s for {self.for_s!r} s is out of range; use "
                "seconds from the record's start"
            )

    @property
    def until_s(self) -> float:
        """When it ends."""
        return self.at_s + self.for_s


NIGHT = (
    Event("ventricular_run", 24.0, 2.0),
    Event("ventricular_tachycardia", 32.0, 6.0),
    Event("pause", 44.0, 2.6),
    Event("noise", 50.0, 7.0),
    Event("tachycardia", 62.0, 11.0),
    Event("bradycardia", 78.0, 11.0),
    Event("lead_off", 94.0, 5.0),
    Event("asystole", 104.0, 7.0),
    Event("ventricular_fibrillation", 116.0, 8.0),
    Event("atrial_fibrillation", 129.0, 48.0),
)
SCENARIOS: Mapping[str, tuple[Event, ...]] = {"night": NIGHT}


def load_scenario(name: str) -> tuple[Event, ...]:
    """Return a scenario by its name, or from a TOML file of `[[event]]` tables.

    Raises
    ------
    InvalidOption
        If there is no such scenario, or the file cannot be one.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    path = Path(name)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SCENARIO_BYTES + 1)
    except OSError as error:
        raise InvalidOption(
            f"scenario {name!r} is neither {' nor '.join(SCENARIOS)}, nor a file that can be read "
            f"({error.strerror}); give one of them"
        ) from error
    if len(content) > MAX_SCENARIO_BYTES:
        raise InvalidOption(f"scenario {name!r} has more than {MAX_SCENARIO_BYTES} bytes")
    try:
        tables = tomllib.loads(unmarked(content).decode()).get("event", [])
        events = msgspec.convert(tables, tuple[Event, ...])
    except (ValueError, RecursionError, msgspec.ValidationError) as error:
        raise InvalidOption(
            f"scenario {name!r} cannot be read: {error}; give [[event]] tables with at_s, for_s "
            f"and a kind of {', '.join(RHYTHM_NOTES)}"
        ) from error
    return checked(events)


def checked(events: Sequence[Event]) -> tuple[Event, ...]:
    """Return events in the order of time; InvalidOption if two overlap."""
    ordered = tuple(sorted(events, key=lambda event: event.at_s))
    if len(ordered) > MAX_EVENTS:
        raise InvalidOption(f"{len(ordered)} events are too many; give at most {MAX_EVENTS}")
    for one, other in pairwise(ordered):
        if other.at_s < one.until_s + 2 * BEFORE_NEXT_S:
            raise InvalidOption(
                f"{other.kind} at {other.at_s:g} s begins before {one.kind} has ended; leave "
                f"{2 * BEFORE_NEXT_S:g} s between events"
            )
    return ordered


def with_events(rhythm: Rhythm, events: Sequence[Event], rng: np.random.Generator) -> Rhythm:
    """Return the rhythm with the beats of the events, and without those that they replace."""
    time_s, symbol, respiration = rhythm.time_s, rhythm.symbol, rhythm.respiration
    for event in events:
        if event.kind in ("lead_off", "noise"):
            continue
        new_s, name = _beats_of(event, float(time_s[time_s < event.at_s][-1]), rng)
        last_s = float(new_s[-1]) if len(new_s) else event.at_s
        before = time_s < event.at_s
        after = time_s > max(event.until_s, last_s + BEFORE_NEXT_S)
        breath = np.interp(new_s, time_s, respiration)
        time_s = np.concatenate([time_s[before], new_s, time_s[after]])
        symbol = np.concatenate([symbol[before], np.full(len(new_s), name), symbol[after]])
        respiration = np.concatenate([respiration[before], breath, respiration[after]])
    return Rhythm(time_s, symbol, respiration)


def _beats_of(event: Event, before_s: float, rng: np.random.Generator) -> tuple[Floats, str]:
    """Return when an event's beats are, and their class; the beat before is given."""
    if event.kind in WITHOUT_BEATS:
        return np.empty(0), "N"
    rr_s = RR_S[event.kind]
    n = RUN_BEATS if event.kind == "ventricular_run" else int(event.for_s / rr_s)
    spread = FIBRILLATION_SPREAD if event.kind == "atrial_fibrillation" else 0.02
    intervals = np.maximum(rr_s * (1 + spread * rng.standard_normal(n)), SHORTEST_RR_S)
    first_s = max(before_s + intervals[0], event.at_s)
    times_s = first_s + np.concatenate([[0.0], np.cumsum(intervals[1:])])
    ventricular = event.kind in ("ventricular_tachycardia", "ventricular_run")
    return times_s[times_s < event.until_s], "V" if ventricular else "N"


class EventSignals:
    """What the events add to the signal of both leads; any stretch of it can be asked for.

    Parameters
    ----------
    events : sequence of Event
    fs_hz : float
    rng : np.random.Generator
        Where chance comes from.
    """

    def __init__(self, events: Sequence[Event], fs_hz: float, rng: np.random.Generator) -> None:
        self._fs_hz = fs_hz
        self._added = [
            (round(event.at_s * fs_hz), self._draw(event, rng))
            for event in events
            if event.kind in ("ventricular_fibrillation", "noise")
        ]
        self._off = [
            (round(event.at_s * fs_hz), round(event.until_s * fs_hz))
            for event in events
            if event.kind == "lead_off"
        ]

    def added_mv(self, start: int, stop: int) -> Floats:
        """Return what is added to samples [start, stop), shape (n, 2)."""
        added = np.zeros((stop - start, 2))
        for first, signal in self._added:
            low, high = max(start, first), min(stop, first + len(signal))
            if low < high:
                added[low - start : high - start] += signal[low - first : high - first]
        return added

    def is_off(self, start: int, stop: int) -> NDArray[np.bool_]:
        """Return in which of the samples [start, stop) the leads are off, shape (n,)."""
        off = np.zeros(stop - start, np.bool_)
        for first, last in self._off:
            off[max(0, first - start) : max(0, last - start)] = True
        return off

    def _draw(self, event: Event, rng: np.random.Generator) -> Floats:
        n = round(event.for_s * self._fs_hz)
        time_s = np.arange(n) / self._fs_hz
        fade = np.clip(np.minimum(time_s, event.for_s - time_s) / FADE_S, 0, 1)
        if event.kind == "noise":
            return np.stack([fade * self._noise(n, rng) for _ in range(2)], axis=1)
        lead1 = self._oscillation(time_s, rng)
        lead2 = 0.5 * lead1 + 0.5 * self._oscillation(time_s, rng)
        return np.stack([fade * lead1, fade * lead2], axis=1)

    def _oscillation(self, time_s: Floats, rng: np.random.Generator) -> Floats:
        """Return a wave whose frequency and height wander, as in coarse fibrillation."""
        middle_hz = rng.uniform(*FIBRILLATION_HZ)
        wave = np.zeros_like(time_s)
        for k in range(N_WAVES):
            hz = middle_hz * (1 + 0.03 * (k - N_WAVES // 2))
            wave += np.sin(2 * np.pi * hz * time_s + rng.uniform(0, 2 * np.pi)) / (1 + abs(k - 2))
        scaled: Floats = FIBRILLATION_MV * wave / np.abs(wave).max()
        return scaled

    def _noise(self, n: int, rng: np.random.Generator) -> Floats:
        """Return noise of a band, made of its Fourier coefficients."""
        hz = np.fft.rfftfreq(n, 1 / self._fs_hz)
        inside = (hz >= NOISE_HZ[0]) & (hz <= NOISE_HZ[1])
        coefficients = inside * (rng.standard_normal(len(hz)) + 1j * rng.standard_normal(len(hz)))
        noise: Floats = np.fft.irfft(coefficients, n)
        scaled: Floats = NOISE_MV * noise / (noise.std() + 1e-12)
        return scaled


def notes(events: Sequence[Event], fs_hz: float, n_samples: int) -> list[tuple[int, str]]:
    """Return where the rhythm changes, and to which, for `+` annotations."""
    found = []
    for event in events:
        for at_s, note in ((event.at_s, RHYTHM_NOTES[event.kind]), (event.until_s, NORMAL_NOTE)):
            sample = round(at_s * fs_hz)
            if sample < n_samples:
                found.append((sample, note))
    return found
