"""A page printed as a PDF by an installed browser without a window: Chromium or its kin."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from monitor.errors import InvalidOption
from monitor.offline.output_files import check_replaceable

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
)
WITHIN_S = 300.0


def find_browser(path: str | None = None) -> str:
    """Return the browser that prints, as found on PATH, or on the path given.

    Raises
    ------
    InvalidOption
        If there is none.
    """
    for name in BROWSERS:
        found = shutil.which(name, path=path)
        if found is not None:
            return found
    raise InvalidOption(
        "--pdf needs Chromium or Chrome to print the page, and neither is on PATH; install it "
        "(Debian: apt install chromium), or leave --pdf out and print the page from your browser"
    )


def check_outputs(page: Path, *, pdf: bool) -> tuple[Path | None, str]:
    """Return the PDF's path and the browser that prints it; none where none is asked for.

    Raises
    ------
    InvalidOption
        If a file cannot be written, or there is no browser.
    """
    check_replaceable(page)
    if not pdf:
        return None, ""
    beside = page.with_suffix(".pdf")
    if beside == page:
        raise InvalidOption(f"--html {page} would be replaced by its PDF; name a .html file")
    check_replaceable(beside)
    return beside, find_browser()


def print_pdf(page: Path, pdf: Path, browser: str, within_s: float = WITHIN_S) -> None:
    """Print a page, whole or not at all.

    Raises
    ------
    InvalidOption
        If the browser fails or hangs.
    """
    with tempfile.TemporaryDirectory(prefix="ecg-monitor-pdf-") as folder:
        made = Path(folder) / "page.pdf"
        command = [
            browser,
            "--headless",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--disable-extensions",
            "--no-first-run",
            f"--user-data-dir={folder}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={made}",
        ]
        if os.geteuid() == 0:  # its sandbox refuses root; the page is ours and runs no script
            command.append("--no-sandbox")
        command.append(page.absolute().as_uri())
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=within_s,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            why = (
                f"{within_s:g} s were not enough"
                if isinstance(error, subprocess.TimeoutExpired)
                else str(error)
            )
            raise InvalidOption(f"{browser} printed no PDF: {why}; {_instead(page)}") from error
        if not made.is_file() or made.stat().st_size == 0:
            last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
            why = last[0][:200] if last else f"exit code {done.returncode}"
            raise InvalidOption(f"{browser} printed no PDF: {why}; {_instead(page)}")
        part = pdf.with_name(f".{pdf.name}.part")
        try:
            shutil.copyfile(made, part)
            part.replace(pdf)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise InvalidOption(
                f"cannot write {pdf}: {error.strerror}; choose another folder"
            ) from error


def _instead(page: Path) -> str:
    return f"{page} is written: print it from your browser"
