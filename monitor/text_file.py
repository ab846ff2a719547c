"""The bytes of a text file that a person wrote, whatever editor it came from."""

from __future__ import annotations

import codecs


def unmarked(content: bytes) -> bytes:
    """Return a text as it is without a byte-order mark, which Windows editors put in front.

    Parameters
    ----------
    content : bytes
        A whole file, or its beginning. UTF-16 is known by its mark and becomes UTF-8; what of it
        is no text becomes the replacement character.
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace").encode()
    return content.removeprefix(codecs.BOM_UTF8)
