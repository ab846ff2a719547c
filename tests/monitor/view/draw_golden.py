"""Write the golden screens anew (`python -m tests.monitor.view.draw_golden`); read what changed."""

from __future__ import annotations

from tests.monitor.view.scenes import lines_of
from tests.monitor.view.test_layout import DRAWN, GOLDEN, SCENES, SIZES


def main() -> None:
    """Draw every golden scene in every golden size."""
    GOLDEN.mkdir(exist_ok=True)
    for name in DRAWN:
        for width, height in SIZES:
            text = "\n".join(lines_of(SCENES[name], width, height)) + "\n"
            (GOLDEN / f"{name}_{width}x{height}.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
