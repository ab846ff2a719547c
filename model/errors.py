"""What can be wrong with what the model is given.

ModelError (ValueError)
├── InvalidBeats        beats of the wrong shape, with NaN, or too few
├── InvalidConfig       a configuration with absurd values
├── InvalidCheckpoint   a file that is not a whole checkpoint of ours
├── InvalidDataset      an ECG5000 file that cannot be read
├── MissingLibrary      learning, or a comparison, needs a library that is not installed
└── CannotLearn         a patient's first minutes hold no dominant normal
"""


class ModelError(ValueError):
    """Base of all errors of this package; the message says what, where and what to do."""


class InvalidBeats(ModelError):
    """Beats have the wrong shape, hold NaN, or are too few."""


class InvalidConfig(ModelError):
    """A configuration has absurd values."""


class InvalidCheckpoint(ModelError):
    """A file is not a whole checkpoint of this project."""


class InvalidDataset(ModelError):
    """A file is not in one of ECG5000's published formats."""


class MissingLibrary(ModelError):
    """Learning, or a comparison, needs a library that is not installed."""


class CannotLearn(ModelError):
    """The beats given hold no dominant normal to learn."""
