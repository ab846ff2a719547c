"""Is a beat ventricular? Evidence of its shape and its time, in log odds: above 0 it rather is.

Three things say so, each in the patient's own units: the QRS complex differs from the patient's
dominant one, it is wide, and it is early. What each is worth was weighed on the labels of other
patients: a logistic regression on the 22 records of MIT-BIH of de Chazal's DS1, both leads, V and E
against N, L, R, B, e, j, A, a, J and S, each record and each class of the same weight. Left out one
patient at a time: AUC .987 in the first leads, .896 in the second (15 records with 5 V beats and
more); at log odds 0 it finds .95 and .91 of the V beats, and takes .07 and .21 of the others for
ventricular. No record of intensive care was in sight.
"""

from __future__ import annotations

from math import isfinite, log, nan

from segmenter.qrs_shape import QrsShape

INTERCEPT = 6.95
PER_LOG_DISTANCE = 1.10
PER_100_MS = 1.84
PER_INTERVAL = -9.03  # of the usual RR interval; a late beat is as one that is on time
DISTANCE_RANGE = (0.02, 5.0)
MOST = 4.0  # what one beat in one lead can say at most


def log_odds(shape: QrsShape, rr_over_usual: float) -> float:
    """Return the evidence that a beat is ventricular, -4 to 4; NaN before there is a usual shape.

    Parameters
    ----------
    shape : QrsShape
    rr_over_usual : float
        The RR interval before it over the usual one; NaN where unknown.
    """
    if not isfinite(shape.usual_width_ms):
        return nan
    interval = min(rr_over_usual, 1.0) if isfinite(rr_over_usual) else 1.0
    distance = min(max(shape.distance, DISTANCE_RANGE[0]), DISTANCE_RANGE[1])
    odds = (
        INTERCEPT
        + PER_LOG_DISTANCE * log(distance)
        + PER_100_MS * shape.width_ms / 100
        + PER_INTERVAL * interval
    )
    return min(max(odds, -MOST), MOST)
