"""`python -m monitor` is `ecg-monitor`."""

from monitor.cli import app

app(prog_name="ecg-monitor")
