"""What can be wrong with what the segmenter is given.

SegmenterError (ValueError)
├── InvalidSpec      a BeatSpec with unknown or absurd values
├── InvalidSignal    a sampling rate or a chunk that cannot be segmented
└── InvalidState     saved bytes that are not a state of this segmenter
    └── OtherState   they are one of other leads, another rate or another BeatSpec
"""


class SegmenterError(ValueError):
    """Base of all errors of this package; the message says what, where and what to do."""


class InvalidSpec(SegmenterError):
    """A beat specification has unknown or absurd values."""


class InvalidSignal(SegmenterError):
    """A sampling rate or a chunk of samples cannot be segmented."""


class InvalidState(SegmenterError):
    """Saved bytes are not a state of this segmenter."""


class OtherState(InvalidState):
    """Saved bytes are a state of other leads, another rate or another specification."""
