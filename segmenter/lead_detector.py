"""What one lead has to say: its QRS complexes, and second by second whether it can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from segmenter.beat import Quality
from segmenter.candidates import Candidate
from segmenter.errors import InvalidState
from segmenter.qrs import Decider, Detection
from segmenter.state import whole

NOISY_SECONDS = 3  # in a row; then the detector starts anew, and finds beats when there are any
MAX_POSITION = 1 << 53

# What a lead says, in the order in which it is taken of what becomes known at one sample.
SECOND, ECHO, BEAT, ASLEEP, ALL_ASLEEP = range(5)
# Plain numbers: an IntFlag takes a microsecond to combine.
NOISY, MISSING = int(Quality.NOISY), int(Quality.MISSING)
LEAD_OFF = int(Quality.FLAT | Quality.SATURATED)


class Echo(NamedTuple):
    """A peak of the lead's envelope, a QRS complex or not."""

    known: int
    peak: int
    height: float  # mV
    r_sample: int  # R, if it is one


class SecondEnded(NamedTuple):
    """A second of the lead, while its detector is awake."""

    end: int  # the sample at which it ended
    flags: int  # `Quality` flags
    noisy_seconds: int  # in a row, this one included


class Slept(NamedTuple):
    """Missing samples of a gap so long that the detector sleeps."""

    start: int
    n: int
    falls_asleep: bool  # else it slept before


# The sample at which it became known, its kind, the lead, its number among what the lead said, and
# an Echo, a Detection, a SecondEnded (None: it was lost) or a Slept. They can be sorted, as no two
# have the first four alike.
Said = tuple[int, int, int, int, Any]


class LeadDetector:
    """Follows one lead from candidates and seconds to QRS complexes, in the order of time.

    Parameters
    ----------
    decider : Decider
    lead : int
        Which of the patient's it is.
    says_echoes : bool
        Whether candidates are said too, for who joins leads.

    Attributes
    ----------
    said : list of Said
        What became known and was not yet taken; whoever takes it empties the list.
    """

    def __init__(self, decider: Decider, lead: int = 0, *, says_echoes: bool = False) -> None:
        self.decider = decider
        self.lead = lead
        self.says_echoes = says_echoes
        self.second = decider.timing.second
        self.noisy_seconds = 0
        self.said: list[Said] = []

    def update(
        self, candidates: list[Candidate], seconds: Sequence[tuple[int, int]], position: int
    ) -> None:
        """Take what the signal up to `position` holds.

        Parameters
        ----------
        candidates : list of Candidate
            In order.
        seconds : sequence of (int, int)
            The sample at which each second ended, and its `Quality` flags but NOISY.
        position : int
        """
        decider, said, done = self.decider, self.said, 0
        for candidate in candidates:
            while done < len(seconds) and seconds[done][0] <= candidate.known:
                self._end_second(*seconds[done])
                done += 1
            if self.says_echoes:
                known = candidate.known
                if decider.due <= known:  # R is of the sign of the beat before, known late or not
                    self._detected(decider.advance(known))
                r_sample, _ = decider.r_peak(candidate)
                echo = Echo(known, candidate.peak, candidate.height, r_sample)
                said.append((known, ECHO, self.lead, len(said), echo))
            found = decider.update(candidate)
            if found:
                self._detected(found)
        while done < len(seconds):
            self._end_second(*seconds[done])
            done += 1
        if decider.due < position:
            self._detected(decider.advance(position - 1))

    def sleep(self, position: int, n: int, *, falls_asleep: bool) -> None:
        """Miss n samples after `position`: a gap so long that it falls asleep, or slept before."""
        self.lose(position, n)
        slept = Slept(position, n, falls_asleep)
        self.said.append((position, ASLEEP, self.lead, len(self.said), slept))

    def lose(self, position: int, n: int) -> None:
        """Do the same without saying it: every lead sleeps."""
        if position + n >= position // self.second * self.second + self.second:  # a second ended
            self.noisy_seconds = 0

    def wake(self, position: int) -> None:
        """Start anew: the signal is back."""
        self.decider.reset(position)

    def _detected(self, detections: list[Detection]) -> None:
        said = self.said
        for detection in detections:
            if self.noisy_seconds:
                detection = detection._replace(noisy=True)
            said.append((detection.known, BEAT, self.lead, len(said), detection))

    def _end_second(self, end: int, flags: int) -> None:
        decider = self.decider
        if decider.due < end:
            self._detected(decider.advance(end - 1))
        if not flags and decider.unreadable(end - 1):
            flags = NOISY
        self.noisy_seconds = self.noisy_seconds + 1 if flags & NOISY else 0
        ended = SecondEnded(end, flags, self.noisy_seconds)
        self.said.append((end, SECOND, self.lead, len(self.said), ended))
        if not flags:  # nearly always
            return
        noisy = self.noisy_seconds >= NOISY_SECONDS
        if flags & LEAD_OFF or (noisy and not decider.learning):
            decider.reset(end)

    def to_plain(self) -> dict[str, Any]:
        """Return the state as plain JSON values."""
        return {"noisy_seconds": self.noisy_seconds, "decider": self.decider.to_plain()}

    def restore(self, plain: Mapping[str, Any], position: int) -> None:
        """Take a state from `to_plain` at `position`; InvalidState if it cannot be one."""
        self.noisy_seconds = whole(plain, "noisy_seconds", 0, MAX_POSITION)
        decider = plain.get("decider")
        if not isinstance(decider, dict):
            raise InvalidState("saved state: the detector's part is missing")
        self.decider.restore(decider, position)
