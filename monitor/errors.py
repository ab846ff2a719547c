"""What can go wrong in the running system; the CLI turns each into one line and an exit code.

    MonitorError                exit code 2: what was given cannot be used
    ├── InvalidOption           an option's value is malformed or out of bounds
    ├── InvalidEndpoint         an endpoint is malformed
    ├── EndpointInUse           another process holds the endpoint
    ├── InvalidKeys             keys are missing, malformed, or readable by others
    ├── RecordError             a record is missing, unreadable, truncated or absurd
    ├── DownloadError           a PhysioNet record cannot be fetched, nor found in the cache
    ├── JournalFailed           the journal cannot be opened or written
    ├── InboxFailed             a durable subscriber's file cannot be opened or written
    ├── JournalMismatch         the journal holds another run than the one that is to go on
    ├── InvalidMessage          bytes from a socket are no message of ours (counted, never shown)
    ├── PushRefused             a monitor refused samples that this program sent
    ├── SpecMismatch            beats and checkpoint are of different beat specs
    ├── WardUnreachable         no NATS server answers, or it holds no ward
    ├── Fenced                  another worker writes what this one wanted to write
    ├── StageRefused            a stage cannot do what it was asked, and says why
    ├── NotHandedOn             exit code 1: a sink did not get all alerts of a run that has ended
    ├── MonitorSilent           exit code 1: a monitor elsewhere has gone too early
    └── StageFailed             exit code 1: a stage died more often than it may be restarted

`segmenter.errors.SegmenterError` and `model.errors.ModelError` stand beside it: those packages
do not know this one.
"""

import errno

_FULL = (errno.ENOSPC, errno.EDQUOT)


def reason_of(error: OSError) -> str:
    """Return why the system refused; of a full disk also what to do.

    Examples
    --------
    >>> reason_of(OSError(errno.ENOSPC, "No space left on device"))
    'No space left on device; free space on its disk, or write elsewhere'
    """
    reason = error.strerror or str(error)
    return f"{reason}; free space on its disk, or write elsewhere" if is_full(error) else reason


def is_full(error: OSError) -> bool:
    """Tell whether a disk, or a person's share of it, is full."""
    return error.errno in _FULL


class MonitorError(Exception):
    """Base of all errors of this package; the message says what, where and what to do."""

    exit_code = 2


class InvalidOption(MonitorError):
    """An option's value is malformed or out of bounds."""


class InvalidEndpoint(MonitorError):
    """An endpoint is malformed."""


class EndpointInUse(MonitorError):
    """Another process holds the endpoint."""


class InvalidKeys(MonitorError):
    """Keys are missing, malformed, or readable by others."""


class RecordError(MonitorError):
    """A record is missing, unreadable, truncated or absurd."""


class DownloadError(MonitorError):
    """A PhysioNet record can neither be fetched nor found in the cache."""


class JournalFailed(MonitorError):
    """The journal cannot be opened or written."""


class InboxFailed(MonitorError):
    """A durable subscriber's file cannot be opened or written."""


class JournalMismatch(MonitorError):
    """The journal holds another run than the one that is to go on in it."""


class InvalidMessage(MonitorError):
    """Bytes from a socket are no message of this protocol."""


class PushRefused(MonitorError):
    """A monitor refused samples that this program sent; the text is the monitor's."""


class SpecMismatch(MonitorError):
    """Beats and checkpoint are of different beat specs."""


class WardUnreachable(MonitorError):
    """No NATS server answers, or it holds no ward."""


class Fenced(MonitorError):
    """Another worker has written since: what this one has of it is not to be written."""


class StageRefused(MonitorError):
    """A stage cannot do what it was asked; the text is the stage's own."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class MonitorSilent(MonitorError):
    """A monitor that was listened to has gone before its records ended."""

    exit_code = 1


class NotHandedOn(MonitorError):
    """A run has ended, and some sink did not get all of its alerts."""

    exit_code = 1


class StageFailed(MonitorError):
    """A stage died more often than it may be restarted."""

    exit_code = 1
