"""How signal files store samples: from bytes to ADC units, format by format.

As signal(5) describes the formats and as the C library of WFDB 10.7.0 reads them: `rdsamp -H` gave
the values that the tests compare with. We decode ourselves, since wfdb-python 4.3.1 reads some
files in another way: format 8 begins at 0 where the header names no initial value, a skew is taken
for frames where it counts samples, two leads of different skew are refused, a lead with a skew
ends too early, and each window parses the header anew.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from monitor.errors import RecordError

# Bytes a sample; formats that pack several samples hold this on average.
BYTES_PER_SAMPLE = {
    "8": Fraction(1),
    "16": Fraction(2),
    "24": Fraction(3),
    "32": Fraction(4),
    "61": Fraction(2),
    "80": Fraction(1),
    "160": Fraction(2),
    "212": Fraction(3, 2),
    "310": Fraction(4, 3),
    "311": Fraction(4, 3),
}
FLAC_BITS = {"508": 8, "516": 16, "524": 24}
NULL_FORMAT = "0"  # a signal without a file, in the layout header of a variable-layout record
DIFFERENCE_FORMAT = "8"  # stores differences: a sample depends on all samples before it
FORMATS = (*BYTES_PER_SAMPLE, *FLAC_BITS)

# The lowest value of a format stands for "no sample". The C library hands it on as NO_SAMPLE in
# every format, so that a value of -32768 is none in the wider formats and in sums of format 8
# either: one sample, which the segmenter bridges.
NO_SAMPLE = -(1 << 15)
INVALID_SAMPLE = {
    "16": -(1 << 15),
    "24": -(1 << 23),
    "32": -(1 << 31),
    "61": -(1 << 15),
    "80": -(1 << 7),
    "160": -(1 << 15),
    "212": -(1 << 11),
    "310": -(1 << 9),
    "311": -(1 << 9),
    "508": -(1 << 7),
    "516": -(1 << 15),
    "524": -(1 << 23),
}

# Packed formats: bytes and samples of a group, and the samples that a group's first bytes hold.
_PACKED = {
    "212": (3, 2, (0, 0, 1)),
    "310": (4, 3, (0, 0, 1, 1)),
    "311": (4, 3, (0, 0, 1, 2)),
}


def samples_held(fmt: str, n_bytes: int) -> int:
    """Return how many samples `n_bytes` of a format hold; what is left of a sample is none."""
    n_bytes = max(0, n_bytes)
    if fmt in _PACKED:
        group_bytes, group_samples, partial = _PACKED[fmt]
        return n_bytes // group_bytes * group_samples + partial[n_bytes % group_bytes]
    return n_bytes // int(BYTES_PER_SAMPLE[fmt])


def read_samples(
    file: Path, fmt: str, byte_offset: int, first: int, n_samples: int
) -> NDArray[np.signedinteger]:
    """Read samples of a file, all signals interleaved, as they are stored.

    Parameters
    ----------
    fmt : str
        One of `BYTES_PER_SAMPLE`.
    byte_offset : int
        Where in the file sample 0 begins.
    first : int
        First sample, counted from sample 0.

    Returns
    -------
    np.ndarray, shape (n_samples,) or shorter where the file ends
        ADC units; for format 8, differences.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    group_bytes, group_samples, _ = _PACKED.get(fmt, (int(BYTES_PER_SAMPLE[fmt]), 1, ()))
    first_group, skipped = divmod(first, group_samples)
    n_groups = -(-(skipped + n_samples) // group_samples)
    with file.open("rb") as stream:
        stream.seek(byte_offset + first_group * group_bytes)
        raw = stream.read(n_groups * group_bytes)
    held = samples_held(fmt, len(raw))
    whole_bytes = len(raw) // group_bytes * group_bytes
    if fmt in _PACKED:  # the last group may lack its last bytes
        raw += bytes(-len(raw) % group_bytes)
        whole_bytes = len(raw)
    return _DECODERS[fmt](raw[:whole_bytes])[skipped : min(skipped + n_samples, held)]


def read_flac(
    file: Path, fmt: str, n_signals: int, first: int, n_samples: int
) -> NDArray[np.signedinteger]:
    """Read samples [first, first + n_samples) of each signal of a FLAC file.

    Returns
    -------
    np.ndarray, shape (n_samples, n_signals) or shorter where the file ends
        ADC units.

    Raises
    ------
    RecordError
        If the file is no FLAC file, or holds other signals than the header says.
    """
    import soundfile  # type: ignore[import-untyped]  # for these formats only: it loads a library

    try:
        with soundfile.SoundFile(str(file)) as stream:
            bits = {"PCM_S8": 8, "PCM_16": 16, "PCM_24": 24}.get(stream.subtype, 0)
            if stream.format != "FLAC" or not 0 < bits <= FLAC_BITS[fmt]:
                raise RecordError(f"signal file {file} is no FLAC file of format {fmt}")
            if stream.channels != n_signals:
                raise RecordError(
                    f"signal file {file} holds {stream.channels} signals; its header describes "
                    f"{n_signals}"
                )
            stream.seek(min(first, stream.frames))
            values = stream.read(
                n_samples, dtype="int32" if bits == 24 else "int16", always_2d=True
            )
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise RecordError(f"signal file {file} is no FLAC file") from error
    # soundfile moves samples of 8 and 24 bits to the high end of 16 and 32
    shifted: NDArray[np.signedinteger] = values if bits == 16 else values >> 8
    return shifted


def flac_samples_held(file: Path) -> int:
    """Return how many samples a signal a FLAC file holds; RecordError where it is none."""
    import soundfile

    try:
        return int(soundfile.info(str(file)).frames)
    except (soundfile.SoundFileError, RuntimeError) as error:
        raise RecordError(f"signal file {file} is no FLAC file") from error


def with_gaps(fmt: str, values: NDArray[np.signedinteger]) -> NDArray[np.float64]:
    """Return ADC units as floats, NaN where the format's "no sample" stands."""
    floats = values.astype(np.float64)
    floats[(values == INVALID_SAMPLE.get(fmt, NO_SAMPLE)) | (values == NO_SAMPLE)] = np.nan
    return floats


def _offset_8(raw: bytes) -> NDArray[np.signedinteger]:
    return np.frombuffer(raw, np.uint8).astype(np.int16) - 128


def _offset_16(raw: bytes) -> NDArray[np.signedinteger]:
    return np.frombuffer(raw, "<u2").astype(np.int32) - 32_768


def _bytes_24(raw: bytes) -> NDArray[np.signedinteger]:
    padded = np.zeros((len(raw) // 3, 4), np.uint8)
    padded[:, 1:] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
    return padded.view("<i4")[:, 0] >> 8  # with its sign


def _packed_212(raw: bytes) -> NDArray[np.signedinteger]:
    """Two samples of 12 bits in three bytes; the middle byte holds the high bits of both."""
    low, middle, high = np.frombuffer(raw, np.uint8).reshape(-1, 3).T.astype(np.int16)
    return _signed(np.column_stack([low | (middle & 0x0F) << 8, high | (middle & 0xF0) << 4]), 12)


def _packed_310(raw: bytes) -> NDArray[np.signedinteger]:
    """Three samples of 10 bits in two words: bits 1 to 10 of each; the third in what is left."""
    one, two = np.frombuffer(raw, "<u2").reshape(-1, 2).T.astype(np.int32)
    third = one >> 11 | two >> 11 << 5
    return _signed(np.column_stack([one >> 1 & 0x3FF, two >> 1 & 0x3FF, third]), 10)


def _packed_311(raw: bytes) -> NDArray[np.signedinteger]:
    """Three samples of 10 bits in the low 30 bits of a word of 32."""
    word = np.frombuffer(raw, "<u4").astype(np.int64)
    return _signed(np.column_stack([word & 0x3FF, word >> 10 & 0x3FF, word >> 20 & 0x3FF]), 10)


def _signed(values: NDArray[np.signedinteger], bits: int) -> NDArray[np.signedinteger]:
    """Return the numbers, of `bits` bits each, with their sign, as one row."""
    flat = values.astype(np.int16).reshape(-1)
    return flat - ((flat >> (bits - 1)) << bits)


_DECODERS: dict[str, Callable[[bytes], NDArray[np.signedinteger]]] = {
    "8": lambda raw: np.frombuffer(raw, np.int8),
    "16": lambda raw: np.frombuffer(raw, "<i2"),
    "24": _bytes_24,
    "32": lambda raw: np.frombuffer(raw, "<i4"),
    "61": lambda raw: np.frombuffer(raw, ">i2"),
    "80": _offset_8,
    "160": _offset_16,
    "212": _packed_212,
    "310": _packed_310,
    "311": _packed_311,
}
