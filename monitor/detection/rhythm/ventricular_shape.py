"""Is a beat ventricular by its shape? Evidence in log odds: above 0 it rather is.

Two things say so, both beside the patient's own beats: the QRS complex differs from the dominant
one, and it is wide. What each is worth was weighed on the labels of other patients: a logistic
regression on the 22 records of MIT-BIH of de Chazal's DS1, both leads, V and E against N, L, R, B,
e, j, A, a, J and S, each record and each class of the same weight. Left out one patient at a time:
AUC .976 in the first leads, .866 in the second (15 records with 5 V beats and more); at log odds 0
it finds .94 and .90 of the V beats, and takes .09 and .24 of the others for ventricular. No record
of intensive care was in sight.

That a beat is early adds to it (.987), but not here: beats of a fast rhythm are all early, and that
it is fast is a condition of a run anyway.
"""

from __future__ import annotations

from math import isfinite, log

from segmenter.qrs_shape import QrsShape

INTERCEPT = -1.63
PER_LOG_DISTANCE = 1.29
PER_100_MS = 2.29
DISTANCE_RANGE = (0.02, 5.0)
MOST = 4.0  # what one beat in one lead can say at most


def log_odds(shape: QrsShape) -> float | None:
    """Return the evidence that a beat is ventricular, -4 to 4; None before there is a usual shape.

    Examples
    --------
    A beat like the others, and one that is wide and of another shape.

    >>> from segmenter.qrs_shape import QrsShape
    >>> usual = QrsShape(90.0, 90.0, 0.99, 1.0, 0.15, 0.99, 0.9, 0.0)
    >>> other = usual._replace(width_ms=170.0, distance=1.3)
    >>> [round(log_odds(one), 1) for one in (usual, other)]
    [-2.0, 2.6]
    """
    if not isfinite(shape.usual_width_ms):
        return None
    distance = min(max(shape.distance, DISTANCE_RANGE[0]), DISTANCE_RANGE[1])
    odds = INTERCEPT + PER_LOG_DISTANCE * log(distance) + PER_100_MS * shape.width_ms / 100
    return min(max(odds, -MOST), MOST)
