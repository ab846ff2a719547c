"""Capital letters five dots high, drawn with half blocks in three rows of the terminal."""

from __future__ import annotations

HEIGHT_ROWS = 3
_DOTS = 2 * HEIGHT_ROWS  # the lowest stays empty
_LETTERS = {
    "A": (" # ", "# #", "###", "# #", "# #"),
    "B": ("## ", "# #", "## ", "# #", "## "),
    "C": (" ##", "#  ", "#  ", "#  ", " ##"),
    "D": ("## ", "# #", "# #", "# #", "## "),
    "E": ("###", "#  ", "## ", "#  ", "###"),
    "F": ("###", "#  ", "## ", "#  ", "#  "),
    "G": (" ##", "#  ", "# #", "# #", " ##"),
    "H": ("# #", "# #", "###", "# #", "# #"),
    "I": ("#", "#", "#", "#", "#"),
    "L": ("#  ", "#  ", "#  ", "#  ", "###"),
    "M": ("#   #", "## ##", "# # #", "#   #", "#   #"),
    "N": ("#  #", "## #", "# ##", "#  #", "#  #"),
    "O": (" # ", "# #", "# #", "# #", " # "),
    "P": ("## ", "# #", "## ", "#  ", "#  "),
    "R": ("## ", "# #", "## ", "# #", "# #"),
    "S": (" ##", "#  ", " # ", "  #", "## "),
    "T": ("###", " # ", " # ", " # ", " # "),
    "U": ("# #", "# #", "# #", "# #", "###"),
    "V": ("# #", "# #", "# #", "# #", " # "),
    "X": ("# #", "# #", " # ", "# #", "# #"),
    "Y": ("# #", "# #", " # ", " # ", " # "),
    " ": (" ", " ", " ", " ", " "),
}
_BLOCKS = {(False, False): " ", (True, False): "▀", (False, True): "▄", (True, True): "█"}


def large(text: str) -> list[str]:
    """Return a text in large capital letters, HEIGHT_ROWS rows of one width.

    Raises
    ------
    KeyError
        If it has a sign that no name of an alarm has.
    """
    letters = [_LETTERS[sign] for sign in text.upper()]
    dots = [" ".join(letter[line] for letter in letters) for line in range(_DOTS - 1)]
    dots.append(" " * len(dots[0]))
    return [
        "".join(
            _BLOCKS[upper == "#", lower == "#"]
            for upper, lower in zip(dots[2 * row], dots[2 * row + 1], strict=True)
        )
        for row in range(HEIGHT_ROWS)
    ]
