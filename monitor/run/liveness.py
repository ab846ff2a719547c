"""Whether a stage is alive, and how often stages may be restarted. Pure: the time is passed in."""

from __future__ import annotations

from monitor.stages.pulse import BEAT, LAST_WORDS, STARTING

# A stage shows signs of life once a second, also while it starts, waits for the next one, is paused
# or learns (in a thread). Silences of one that works are those in which one call holds the
# interpreter: to load torch takes 2 s here, and several times that from a disk that is read first.
SILENT_S = 5.0  # reported; as long as a patient may be without a verdict
HUNG_S = 20.0  # killed, and restarted as if it had died
AWAKE_S = 1.0  # a longer gap between two looks is this process's own: it was stopped, or starved
MAX_RESTARTS = 3  # without healthy time between them
HEAL_S = 20.0  # of healthy time gives one restart back


class Liveness:
    """How long one stage has shown no sign of life while this process was awake.

    Time in which this process itself did not look is not counted: where both were stopped (a
    suspended laptop, a frozen container), the stage gets the time to be heard again.

    Parameters
    ----------
    now_s : float
        When the stage was started, monotonic.
    hung_s : float
        Silence after which it hangs.
    """

    def __init__(self, now_s: float, hung_s: float = HUNG_S) -> None:
        self._looked_s = now_s
        self._hung_s = hung_s
        self.silent_s = 0.0
        self.last_words = ""

    def look(self, signs: bytes, ready: bool, now_s: float) -> None:
        """Take in what the stage wrote since the last look.

        Parameters
        ----------
        signs : bytes
            Of `monitor.stages.pulse`; empty where the stage wrote nothing.
        ready : bool
            Whether it has reported that it is ready; its loop must go round from then on.
        """
        signs, _, words = signs.partition(LAST_WORDS)
        self.last_words = words.decode(errors="replace") or self.last_words
        if BEAT in signs or (STARTING in signs and not ready):
            self.silent_s = 0.0
        else:
            self.silent_s += min(now_s - self._looked_s, AWAKE_S)
        self._looked_s = now_s

    @property
    def silent(self) -> bool:
        """Whether it has shown no sign of life for so long that a person should know."""
        return self.silent_s >= SILENT_S

    @property
    def hangs(self) -> bool:
        """Whether it has shown no sign of life for so long that it must be killed."""
        return self.silent_s >= self._hung_s


class RestartBudget:
    """A rate of restarts: healthy time gives back what was taken, so that no number is for life.

    A stage that dies at the same beat each time uses up `MAX_RESTARTS` in a row. One that dies once
    an hour, or once a minute, is restarted for ever: each time it gets on in between.
    """

    def __init__(self) -> None:
        self._left = float(MAX_RESTARTS)

    @property
    def left(self) -> int:
        """How many restarts are left now."""
        return int(self._left)

    def heal(self, healthy_s: float) -> None:
        """Count time in which all stages were ready and showed signs of life."""
        self._left = min(float(MAX_RESTARTS), self._left + healthy_s / HEAL_S)

    def take(self) -> bool:
        """Take one restart; return whether one was left."""
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True
