"""What the fuzzer knows of one decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.fuzz_damage import Damage


@dataclass(frozen=True)
class Decoder:
    """A decoder, valid input for it, how to damage that, and what it may raise.

    Attributes
    ----------
    decode : callable
        Takes a case; what it accepts is also used as the monitor would.
    refusals : tuple of exception types
        All that it may raise.
    seeds : tuple of bytes
        Cases that it accepts.
    damage : callable
        Makes a case of a seed, by chance.
    most_s, most_mb : float
        Processor time and memory that a case may take.
    """

    decode: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    seeds: tuple[bytes, ...]
    damage: Damage
    most_s: float = 2.0
    most_mb: int = 64
