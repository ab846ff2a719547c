"""How many millivolts a unit is, as programs and devices spell it."""

from __future__ import annotations

MICRO_SIGNS = str.maketrans({"µ": "u", "μ": "u"})  # the sign and the Greek letter
_MILLIVOLTS = {"V": 1e3, "mV": 1.0, "uV": 1e-3, "nV": 1e-6}
_WORDS = {"volt": 1e3, "millivolt": 1.0, "microvolt": 1e-3, "nanovolt": 1e-6}


def millivolts_per(unit: str) -> float | None:
    """Return the millivolts of one unit; None if it is no voltage.

    Examples
    --------
    >>> [millivolts_per(unit) for unit in ("uV", "µV", "microvolts", "mv", "V", "percent")]
    [0.001, 0.001, 0.001, 1.0, 1000.0, None]
    """
    text = unit.strip().translate(MICRO_SIGNS)
    if text in _MILLIVOLTS:
        return _MILLIVOLTS[text]
    small = text.lower()
    if small in ("v", "mv", "uv", "nv"):
        return {name.lower(): value for name, value in _MILLIVOLTS.items()}[small]
    return _WORDS.get(small.removesuffix("s"))
