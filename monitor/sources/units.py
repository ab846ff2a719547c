"""Units of voltage, as files spell them."""

from __future__ import annotations

from monitor.errors import RecordError

MILLIVOLTS = {"V": 1e3, "v": 1e3, "mV": 1.0, "mv": 1.0, "nV": 1e-6, "nv": 1e-6}
MILLIVOLTS |= dict.fromkeys(("uV", "uv", "UV"), 1e-3)
# The micro sign in other encodings: UTF-8 read as Latin-1, and what pyEDFlib makes of the two signs
# that look like it (findings/edf_micro_sign.sh). No other unit is called so.
_MANGLED = {"ÂuV": "uV", "Î¼V": "uV", "AuV": "uV", "I V": "uV", "?V": "uV"}
_WORDS = {"volt": "V", "millivolt": "mV", "microvolt": "uV", "nanovolt": "nV"}


def plain_units(text: str) -> str:
    """Return a unit with a u for micro.

    Examples
    --------
    >>> [plain_units(text) for text in ("µV", "μV", "ÂµV", "AuV", "millivolts", " mV ")]
    ['uV', 'uV', 'uV', 'uV', 'mV', 'mV']
    """
    plain = text.strip().replace("µ", "u").replace("μ", "u")
    return _MANGLED.get(plain, _WORDS.get(plain.lower().removesuffix("s"), plain))


def millivolts_per(units: str) -> float | None:
    """Return the millivolts of one unit; None where it is no voltage."""
    return MILLIVOLTS.get(plain_units(units))


def parse_units(text: str) -> float:
    """Return the millivolts of the unit that `--units` names.

    Raises
    ------
    RecordError
        If it is no voltage.
    """
    found = millivolts_per(text)
    if found is None:
        raise RecordError(f"--units {text!r} is no voltage; use mV, uV, V or nV")
    return found
