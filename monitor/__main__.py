"""`python -m monitor` is `ecg-monitor`; it, too, imports nothing from the working directory."""

from monitor.safe_imports import leave_working_directory_out

leave_working_directory_out()

from monitor.cli.app import app  # noqa: E402  Python put the working directory first

app(prog_name="ecg-monitor")
