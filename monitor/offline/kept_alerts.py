"""What is kept of alerts, whoever keeps it: a journal's reader, or what a ward's stream holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from monitor.journal.kept_beats import KeptBeat
from monitor.journal.run import JournaledRun
from monitor.wire.messages import Alert, Technical


class KeptAlerts(Protocol):
    """Alerts of before."""

    @property
    def kind(self) -> str:
        """What it is, in a message: `journal` or `ward`."""
        ...

    @property
    def identity(self) -> str:
        """What requests name it by."""
        ...

    def alerts(self, since: str = "", patient: str | None = None) -> Iterable[Alert | Technical]:
        """Return the alerts since a wall time, in order, of one patient or of all."""
        ...

    def find(self, name: str) -> list[Alert | Technical]:
        """Return the alerts whose number is `name`, or whose identity begins so."""
        ...

    def beats_around(self, patient: str, sample: int) -> Sequence[KeptBeat]:
        """Return the beat at a sample and those on either side that were kept, in order."""
        ...

    def run(self) -> JournaledRun | None:
        """Return what its run is of; None if none has begun."""
        ...
