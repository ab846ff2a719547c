"""Two hours of a live stream on a simulated clock; here some minutes of it."""

from __future__ import annotations

import json

import pytest

from tools.long_stream import main


@pytest.mark.parametrize("drift_ppm", ["50", "-300"])
def test_gaps_and_drift_cost_no_verdict_but_in_the_gaps(
    drift_ppm: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """R peaks within 10 ms of where they should be, nothing held for half a second."""
    assert main(["--minutes", "4", "--drift-ppm", drift_ppm, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["lost_elsewhere"] == 0
    assert 5 < found["lost_in_gaps"] < 25
    assert found["verdicts"] > 200
    assert found["r_error_ms_max"] <= 10
    assert found["held_s_max"] < 0.5
    assert found["gaps_s"] == pytest.approx([5.0, 3.0], abs=0.01)
