"""A watch on verdicts, not on causes: five seconds without one are reported, whatever the reason.

A lead that is off, noise, fibrillation, a gap, and all of them in turn have one thing in common: no
beat gets a verdict. Causes that alternate would each begin anew; what is missing does not.

Pure, and counted in samples of the stream: any cut of the same samples gives the same reports. A
beat's verdict counts from the sample at which the beat closed, when its next R peak is known: a
slow heart is not silent.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

SILENT_S = 5.0  # three beats at 40 a minute; a bedside monitor calls asystole after four seconds


class Report(NamedTuple):
    """A silence that begins or ends, and the sample of the stream at which it does."""

    state: Literal["onset", "cleared"]
    sample: int


def reports(
    newest: int, silent: bool, limit: int, now: int, is_verdict: bool
) -> tuple[Report, ...]:
    """Return what is to be reported when the stream has come so far.

    Parameters
    ----------
    newest : int
        Sample at which the newest verdict before became possible.
    silent : bool
        Whether a silence was reported and has not ended.
    limit : int
        Samples without a verdict that are a silence.
    now : int
        Sample at which a beat closed, or up to which the stream was seen.
    is_verdict : bool
        Whether a beat that closed there has a verdict.
    """
    onset = () if silent or now - newest < limit else (Report("onset", newest + limit),)
    ends = is_verdict and (silent or onset)
    return (*onset, Report("cleared", now)) if ends else onset
