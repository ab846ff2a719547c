"""Boards that BrainFlow reads: `ecg-monitor replay brainflow:BOARD`; needs the extra `[boards]`.

    brainflow:synthetic
    brainflow:cyton?serial_port=/dev/ttyUSB0
    brainflow:playback?file=night.csv&master_board=ganglion

BOARD is a name or number of BrainFlow's; behind the ? stand fields of its BrainFlowInputParams.
Samples are in microvolts, as BrainFlow says of all its boards, and have timestamps of this
machine's wall clock (`stamped_samples`). A board that falls silent is started again.
"""

from __future__ import annotations

import time
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError
from monitor.sources.given import refuse_rate
from monitor.sources.inbox import MOST_WAITING_S, Received, SampleInbox
from monitor.sources.lead_choice import LeadCandidate, choose_leads
from monitor.sources.listing import listing
from monitor.sources.source import LiveKind, LiveSource, LiveStream, SourceOptions
from monitor.sources.stamped_samples import StampedSamples
from monitor.sources.units import millivolts_per

PULL_S = 0.04
SILENT_S = 5.0  # without a sample the board is started again
AGAIN_S = 3.0  # between two such tries
_SUFFIX = "_BOARD"
_FROM_FILE = "PLAYBACK_FILE"  # is not started again: it would begin at its beginning


def _library() -> Any:  # noqa: ANN401  what it returns has no types
    try:
        import brainflow.board_shim as library
    except ImportError as error:
        raise RecordError(
            "BrainFlow's boards need the extra boards: pip install 'ecg-monitor[boards]'"
        ) from error
    library.BoardShim.disable_board_logger()  # it would write to the terminal
    return library


class Board(NamedTuple):
    """A board as a person named it."""

    number: int
    name: str
    parameters: dict[str, str]


def parsed(library: Any, rest: str) -> Board:  # noqa: ANN401
    """Return the board that is named.

    Raises
    ------
    RecordError
        If there is none of that name, or it has no such parameter.
    """
    text, _, query = rest.partition("?")
    number = _number(library, text)
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    known = [one for one in vars(library.BrainFlowInputParams()) if not one.startswith("_")]
    for name in parameters:
        if name not in known:
            raise RecordError(
                f"source brainflow:{rest}: no parameter {name!r}; there are {listing(known)}"
            )
    if "master_board" in parameters:
        parameters["master_board"] = str(_number(library, parameters["master_board"]))
    return Board(number, library.BoardIds(number).name, parameters)


def _number(library: Any, text: str) -> int:  # noqa: ANN401
    names = {one.name: int(one.value) for one in library.BoardIds}
    plain = text.upper().replace("-", "_")
    for name in (plain, plain + _SUFFIX, plain + "_FILE" + _SUFFIX):
        if name in names:
            return names[name]
    try:
        number = int(text)
    except ValueError:
        number = None
    if number is None or number not in names.values():
        short = sorted(name.removesuffix(_SUFFIX).lower() for name in names)
        raise RecordError(f"source brainflow:{text}: no such board; there are {', '.join(short)}")
    return number


class BoardReception:
    """One board's session: what runs in the source's thread."""

    def __init__(
        self,
        library: Any,  # noqa: ANN401
        rest: str,
        options: SourceOptions,
        inbox: SampleInbox,
    ) -> None:
        self._library = library
        self._where = f"source brainflow:{rest}"
        self._board = parsed(library, rest)
        self._inbox = inbox
        self._shim = self._opened()
        described = self._described()
        self._rows, names = self._chosen(described, options)
        self._stamps = int(described["timestamp_channel"])
        scale = millivolts_per(options.units or "uV")
        if scale is None:
            raise RecordError(f"{self._where}: {options.units!r} is no voltage; give --units uV")
        self._scale = scale
        fs_hz = float(described["sampling_rate"])
        self._stream = LiveStream(names, fs_hz)
        self._samples = StampedSamples(self._stream)
        self._size = round(MOST_WAITING_S * fs_hz)

    def run(self) -> None:
        """Receive until the source is closed."""
        try:
            self._shim.start_stream(self._size)
            is_known, heard_s = False, time.monotonic()
            while not self._inbox.closing.wait(PULL_S):
                now_s = time.monotonic()
                data = self._shim.get_board_data()
                if data.shape[1]:
                    if not is_known:  # a recording of another board prepares well, and is silent
                        is_known = True
                        self._inbox.announce([self._stream], self._warnings)
                    heard_s = now_s
                    self._inbox.put(self._taken(data, now_s))
                    continue
                self._inbox.put(self._samples.quiet(now_s))
                if is_known and now_s - heard_s > SILENT_S and _FROM_FILE not in self._board.name:
                    heard_s = now_s - SILENT_S + AGAIN_S
                    self._start_again()
        except self._library.BrainFlowError as error:
            raise RecordError(f"{self._where}: {error}") from error
        finally:
            self._release()

    def _opened(self) -> Any:  # noqa: ANN401
        parameters = self._library.BrainFlowInputParams()
        for name, value in self._board.parameters.items():
            kind = type(getattr(parameters, name))
            try:
                setattr(parameters, name, kind(value))
            except ValueError as error:
                raise RecordError(
                    f"{self._where}: {name}={value!r} is no {kind.__name__}"
                ) from error
        try:
            shim = self._library.BoardShim(self._board.number, parameters)
            shim.prepare_session()
        except self._library.BrainFlowError as error:
            raise RecordError(
                f"{self._where} cannot be opened: {error}; is it on and near, and are its "
                "parameters right (serial_port, mac_address, file, master_board)?"
            ) from error
        return shim

    def _described(self) -> dict[str, Any]:
        # Of a recording, the board that recorded it.
        try:
            described: dict[str, Any] = self._library.BoardShim.get_board_descr(
                self._shim.get_board_id()
            )
        except self._library.BrainFlowError as error:
            self._release()
            raise RecordError(f"{self._where}: {error}") from error
        return described

    def _chosen(
        self, described: dict[str, Any], options: SourceOptions
    ) -> tuple[list[int], tuple[str, ...]]:
        """Return the rows of the leads to read, and their names."""
        rows = list(described.get("ecg_channels") or described.get("exg_channels") or [])
        if not rows:
            self._release()
            raise RecordError(f"{self._where} has no channels for an ECG")
        # Where the same electrodes may be an EEG, which of them lie on the chest nobody knows.
        unnamed = "ch" if rows == described.get("eeg_channels") else "ECG"
        names = [f"{unnamed}{n}" for n in range(1, len(rows) + 1)]
        candidates = [LeadCandidate(name, "uV", is_voltage=True) for name in names]
        try:
            chosen = choose_leads(self._where, candidates, options.leads)
        except RecordError:
            self._release()
            raise
        left_out = [name for n, name in enumerate(names) if n not in chosen]
        self._warnings = (f"not read: {listing(left_out)}; --lead names them",) if left_out else ()
        return [rows[n] for n in chosen], tuple(names[n] for n in chosen)

    def _taken(self, data: NDArray[np.float64], now_s: float) -> list[Any]:
        with np.errstate(over="ignore"):
            millivolts = (data[self._rows] * self._scale).astype(np.float32)
        millivolts[~np.isfinite(millivolts)] = np.nan
        return list(self._samples.put(millivolts, data[self._stamps], now_s))

    def _start_again(self) -> None:
        """Begin the session anew; positions go on by the timestamps."""
        self._inbox.notice("the board fell silent; it is started again")
        self._release()
        try:
            self._shim.prepare_session()
            self._shim.start_stream(self._size)
        except self._library.BrainFlowError:
            return  # it is tried again

    def _release(self) -> None:
        try:
            if self._shim.is_prepared():
                self._shim.release_session()
        except self._library.BrainFlowError:
            return  # it has gone


def _receive(rest: str, options: SourceOptions, inbox: SampleInbox) -> None:
    BoardReception(_library(), rest, options, inbox).run()


def _open(rest: str, options: SourceOptions) -> LiveSource:
    refuse_rate(f"brainflow:{rest}", options)
    _library()
    advice = "is the board on and near, and of a recording the right one named (master_board)?"
    return Received(partial(_receive, rest, options), f"brainflow:{rest}", advice)


LIVE = LiveKind("boards that BrainFlow reads", _open, example="brainflow:synthetic", extra="boards")
