"""Lab Streaming Layer: `ecg-monitor replay lsl:NAME`, or `lsl:type=ECG`; needs the extra `[lsl]`.

Timestamps are brought to this machine's clock (LSL's `time_correction`), and say what is missing
(`sample_clock`). An inlet that recovers by itself keeps the description of the outlet before: with
another rate or other leads it goes on all the same (findings/lsl_recovered_stream.sh). So a stream
that is lost is looked for again here, and compared. LSL turns NaN into 0 in streams of whole
numbers, and keeps the low bits of what lies outside their range (`whole_numbers`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.inbox import MOST_WAITING_S, Received, SampleInbox
from monitor.sources.lead_choice import LeadCandidate, choose_leads, different_names
from monitor.sources.listing import listing
from monitor.sources.source import OPEN_S, LiveKind, LiveSource, LiveStream, SourceOptions
from monitor.sources.stamped_samples import StampedSamples
from monitor.sources.units import millivolts_per
from monitor.sources.whole_numbers import RangeWatch
from monitor.text import counted

KEYS = ("name", "type", "source_id", "hostname", "uid")
LOOK_S = 1.0  # a look for streams on the network
CALL_S = 2.0  # a call that may wait for the other end
PULL_S = 0.1
PULL_SAMPLES = 4096
CORRECT_S = 5.0  # between two looks at the other clock
SILENT_S = 5.0  # without a sample: is there another outlet of this stream?
MAX_CHANNELS = 256
QUIET = "[log]\nlevel = -3\n"  # it would write to the terminal; what matters is reported here
_KINDS = {1: "float32", 2: "float64", 4: "int32", 5: "int16", 6: "int8", 7: "int64"}  # LSL's own
_BITS = {"int8": 8, "int16": 16, "int32": 32}
_CONFIGURED = ("lsl_api.cfg", "~/lsl_api/lsl_api.cfg", "/etc/lsl_api/lsl_api.cfg")


def _library() -> Any:  # noqa: ANN401  no types are published
    try:
        import pylsl
    except ImportError as error:
        raise RecordError(
            "LSL streams need the extra lsl: pip install 'ecg-monitor[lsl]'"
        ) from error
    except RuntimeError as error:  # its own library in C is not found
        raise RecordError(f"LSL cannot be loaded: {str(error).splitlines()[0]}") from error
    configured = "LSLAPICFG" in os.environ or any(
        Path(one).expanduser().exists() for one in _CONFIGURED
    )
    if not configured:  # what a person wrote there must count; content given here would hide it
        pylsl.set_config_content(QUIET)
    return pylsl


class LslLayout(NamedTuple):
    """What of a stream is read, and how; the same again behind a loss, or the source ends."""

    stream: LiveStream
    channels: tuple[int, ...]
    scales: tuple[float, ...]  # millivolts of one unit
    n_channels: int
    kind: str  # of number: float32, int16, …


def predicate(rest: str) -> dict[str, str]:
    """Return what a stream must have, from what stands behind `lsl:`.

    Examples
    --------
    >>> predicate("strap 1"), predicate("type=ECG"), predicate("")
    ({'name': 'strap 1'}, {'type': 'ECG'}, {'type': 'ECG'})
    """
    if not rest:
        return {"type": "ECG"}
    key, sign, value = rest.partition("=")
    return {key: value} if sign and key in KEYS else {"name": rest}


def layout(where: str, info: Any, options: SourceOptions) -> tuple[LslLayout, tuple[str, ...]]:  # noqa: ANN401
    """Return what of a stream is read, and warnings.

    Parameters
    ----------
    info : pylsl.StreamInfo
        Its full description.

    Raises
    ------
    RecordError
        If it holds no ECG that can be read.
    """
    n_channels = info.channel_count()
    if n_channels > MAX_CHANNELS:
        raise RecordError(
            f"{where} has {counted(n_channels, 'channel')}; at most {MAX_CHANNELS} are read"
        )
    fs_hz = info.nominal_srate() or options.fs_hz
    if not fs_hz:
        raise RecordError(f"{where} has no regular sampling rate; give it: --fs 250")
    kind = _KINDS.get(info.channel_format())
    if kind is None:
        raise RecordError(f"{where} holds texts, no numbers")
    names = _names(info, n_channels)
    units = [options.units or unit for unit in _texts(info.get_channel_units(), n_channels)]
    if not any(units):
        raise RecordError(f"{where} does not say the unit of its samples; give it: --units uV")
    candidates = [
        LeadCandidate(name, unit or "no unit", millivolts_per(unit) is not None)
        for name, unit in zip(names, units, strict=True)
    ]
    channels = choose_leads(where, candidates, options.leads)
    left_out = [name for n, name in enumerate(names) if n not in channels]
    warnings = (f"not read: {listing(left_out)}",) if left_out else ()
    scales = tuple(millivolts_per(units[n]) or 1.0 for n in channels)
    stream = LiveStream(tuple(names[n] for n in channels), fs_hz)
    return LslLayout(stream, tuple(channels), scales, n_channels, kind), warnings


def _names(info: Any, n_channels: int) -> list[str]:  # noqa: ANN401
    """Return the channels' names; one of an ECG stream without a name is one of its leads."""
    unnamed = "ECG" if info.type().upper() in ("ECG", "EKG") else "ch"
    labels = _texts(info.get_channel_labels(), n_channels)
    return different_names([one[:100] or f"{unnamed}{n}" for n, one in enumerate(labels, 1)])


def _texts(found: list[str | None] | None, n_channels: int) -> list[str]:
    texts = [(one or "").strip() for one in found or []]
    return [*texts, *[""] * n_channels][:n_channels]


class Inlet:
    """Pulls one outlet's samples into blocks, until that is lost.

    Parameters
    ----------
    library : module
        pylsl.
    info : pylsl.StreamInfo
        Of the outlet, as it was found.
    """

    def __init__(self, library: Any, info: Any) -> None:  # noqa: ANN401
        self._library = library
        # What is not pulled waits in LSL; its buffer counts seconds.
        self._inlet = library.StreamInlet(info, round(MOST_WAITING_S), 0, False, as_numpy=True)
        self.uid = info.uid()
        self._correction_s: float | None = None
        self._corrected_s = -CORRECT_S

    def describe(self) -> Any:  # noqa: ANN401
        """Return the full description, begin to receive, and look at the other clock."""
        info = self._inlet.info(CALL_S)
        self._inlet.open_stream(CALL_S)
        self._correct(time.monotonic())
        return info

    def pull(self) -> tuple[NDArray[Any], NDArray[np.float64]]:
        """Return samples, (n, channels), and their timestamps on this machine's LSL clock."""
        self._correct(time.monotonic())
        samples, stamps = self._inlet.pull_chunk(
            timeout=PULL_S, max_samples=PULL_SAMPLES, min_samples=1
        )
        return samples, np.asarray(stamps, np.float64) + (self._correction_s or 0.0)

    def close(self) -> None:
        """Leave the stream."""
        self._inlet.close_stream()

    def _correct(self, now_s: float) -> None:
        """Look at the other clock now and then; the first look may wait for it."""
        if now_s - self._corrected_s < CORRECT_S:
            return
        self._corrected_s = now_s
        try:
            first = self._correction_s is None
            self._correction_s = self._inlet.time_correction(CALL_S if first else 0.01)
        except TimeoutError:
            return  # none yet: within one machine it is next to nothing


class LslReception:
    """One stream, found again whenever it is lost: what runs in the source's thread."""

    def __init__(self, library: Any, rest: str, options: SourceOptions, inbox: SampleInbox) -> None:  # noqa: ANN401
        self._library = library
        self._where = f"source lsl:{rest}"
        self._options = options
        self._inbox = inbox
        self._wanted = predicate(rest)
        self._layout: LslLayout | None = None
        self._samples: StampedSamples | None = None
        self._watch: RangeWatch | None = None
        self._told_outside = False

    def run(self) -> None:
        """Receive until the source is closed.

        Raises
        ------
        RecordError
            If there is no such stream, it cannot be read, or comes back as another one.
        """
        until_s = time.monotonic() + OPEN_S - CALL_S
        while not self._inbox.closing.is_set():
            found = self._look()
            if not found:
                if self._layout is None and time.monotonic() > until_s:
                    raise RecordError(self._none_found())
                continue
            inlet = Inlet(self._library, found)
            try:
                self._open(inlet)
                self._receive(inlet)
            except (self._library.util.LostError, TimeoutError):
                self._inbox.notice("the stream was lost; it is looked for again")
            finally:
                inlet.close()

    def _look(self) -> Any:  # noqa: ANN401
        """Return the stream that is wanted, if it is there.

        Of several the same one again; at first there must be one.
        """
        terms = " and ".join(f"{key}={_quoted(value)}" for key, value in self._wanted.items())
        fewest = 2 if self._layout is None else 1  # it returns as soon as there are so many
        found = self._library.resolve_bypred(terms, fewest, LOOK_S)
        if len(found) > 1 and self._layout is None:
            names = listing(sorted(shown(one) for one in found))
            raise RecordError(f"{self._where}: there are several: {names}; name one of them")
        return max(found, key=lambda one: one.created_at()) if found else None

    def _none_found(self) -> str:
        others = self._library.resolve_streams(LOOK_S)
        there = listing(sorted(shown(one) for one in others)) or "none at all"
        return f"{self._where}: no such stream on the network within {OPEN_S:g} s; there is {there}"

    def _open(self, inlet: Inlet) -> None:
        info = inlet.describe()
        seen, warnings = layout(self._where, info, self._options)
        if self._layout is None:
            self._layout = seen
            self._samples = StampedSamples(seen.stream)
            if seen.kind in _BITS:
                leads = len(seen.channels)
                self._watch = RangeWatch(_BITS[seen.kind], leads, seen.stream.fs_hz)
            # One that is started again is known by its source_id, whatever it was asked for by.
            if info.source_id():
                self._wanted = {"source_id": info.source_id(), "name": info.name()}
            self._inbox.announce([seen.stream], warnings)
        elif seen != self._layout:
            raise RecordError(
                f"{self._where} came back as another stream ({_told(seen)}, was "
                f"{_told(self._layout)}); start the monitor anew"
            )
        else:
            self._inbox.notice("the stream is back")

    def _receive(self, inlet: Inlet) -> None:
        assert self._layout is not None
        assert self._samples is not None
        heard_s = time.monotonic()
        while not self._inbox.closing.is_set():
            samples, stamps_s = inlet.pull()
            now_s = time.monotonic()
            if not len(stamps_s):
                self._inbox.put(self._samples.quiet(now_s))
                if now_s - heard_s > SILENT_S:
                    heard_s = now_s
                    if self._has_moved(inlet):
                        return
                continue
            heard_s = now_s
            millivolts = self._millivolts(samples)
            self._inbox.put(self._samples.put(millivolts, stamps_s, now_s))

    def _has_moved(self, inlet: Inlet) -> bool:
        """Tell whether the stream is sent by another outlet now; a dead machine closes nothing."""
        found = self._look()
        moved = found is not None and found.uid() != inlet.uid
        if moved:
            self._inbox.notice("the stream comes from another outlet now")
        return moved

    def _millivolts(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Return the chosen channels, (leads, n)."""
        assert self._layout is not None
        chosen = samples.T[list(self._layout.channels)]
        with np.errstate(over="ignore"):
            scaled = chosen.astype(np.float64) * np.array(self._layout.scales)[:, None]
            millivolts: NDArray[np.float32] = scaled.astype(np.float32)
        millivolts[~np.isfinite(millivolts)] = np.nan
        if self._watch is not None:
            outside = self._watch.outside(chosen)
            millivolts[outside] = np.nan
            if outside.any() and not self._told_outside:
                self._told_outside = True
                self._inbox.notice(
                    f"samples leave the range of {self._layout.kind} and are missing; have the "
                    "sender use float32, or a lower gain"
                )
        return millivolts


def _quoted(value: str) -> str:
    """Return a text as XPath has it; one with both kinds of quotes cannot be said."""
    if "'" not in value:
        return f"'{value}'"
    if '"' not in value:
        return f'"{value}"'
    raise RecordError(f"source lsl: {value!r} holds both kinds of quotes; name source_id instead")


def shown(info: Any) -> str:  # noqa: ANN401
    """Return a stream as a person would name and know it."""
    rate = info.nominal_srate()
    regular = f"{rate:g} Hz" if rate else "no regular rate"
    return (
        f"lsl:{info.name()} (type {info.type() or 'none'}, "
        f"{counted(info.channel_count(), 'channel')}, {regular}, of {info.hostname()}"
        + (f", lsl:source_id={info.source_id()})" if info.source_id() else ")")
    )


def _told(seen: LslLayout) -> str:
    return f"{', '.join(seen.stream.leads)} at {seen.stream.fs_hz:g} Hz, {seen.kind}"


def _receive(rest: str, options: SourceOptions, inbox: SampleInbox) -> None:
    LslReception(_library(), rest, options, inbox).run()


def _open(rest: str, options: SourceOptions) -> LiveSource:
    _library()
    where, advice = f"lsl:{rest}", "see `ecg-monitor sources`"
    return Received(partial(_receive, rest, options), where, advice)


def _find() -> list[str]:
    library = _library()
    find: Callable[[float], list[Any]] = library.resolve_streams
    return sorted(shown(one) for one in find(2 * LOOK_S))


LIVE = LiveKind("Lab Streaming Layer", _open, example="lsl:type=ECG", extra="lsl", find=_find)
