"""`python -m monitor` is `ecg-monitor`."""

from monitor.cli.app import app

app(prog_name="ecg-monitor")
