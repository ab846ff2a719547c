"""Which alerts of a night tell most: one of each named alarm and of each family before a second.

Within a kind the highest priority goes first, then the score. What is kept is bounded, however many
alerts come.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from monitor.wire.messages import ALARM_KINDS, Alert, AlertKind, measured

MOST_DRAWN = 10
MOST_NAMED = 6  # of those drawn, while there are beats to draw
KEPT_EACH = 3  # of a named alarm, or of a family
KEPT_LOOSE = MOST_DRAWN  # of anomalous beats that are of no family
MOST_FAMILIES = 100  # that have an alert each; of more the least telling go

_RANK = {"high": 2, "medium": 1, "low": 0}
_Place = tuple[str, int | None]  # kind and family


def _worth(alert: Alert) -> tuple[int, float, int]:
    """Return what sorts alerts of one kind: the more, the more telling; the earlier of the same."""
    of_beat = measured(alert)
    above = alert.duration_s if of_beat is None else of_beat.times_above
    return _RANK[alert.priority], above, -alert.sample


@dataclass
class Telling:
    """Keeps the candidates among the alerts that it is given, in any order."""

    _kept: dict[_Place, list[Alert]] = field(default_factory=dict)

    def take(self, alert: Alert) -> None:
        """Take an alert in: one that shows a beat, or the beginning of a named alarm."""
        if alert.kind == "anomalous_beats":
            if not alert.beat or not alert.reconstruction or measured(alert) is None:
                return
        elif alert.state != "onset":
            return
        place = alert.kind, alert.family
        kept = self._kept.setdefault(place, [])
        begun = alert.episode_start_sample
        same = next((one for one in kept if one.episode_start_sample == begun), None)
        if same is not None:  # of one episode one beat is enough
            if _worth(same) >= _worth(alert):
                return
            kept.remove(same)
        kept.append(alert)
        kept.sort(key=_worth, reverse=True)
        is_loose = place == ("anomalous_beats", None)
        del kept[KEPT_LOOSE if is_loose else KEPT_EACH :]
        if len(self._kept) > MOST_FAMILIES + len(ALARM_KINDS):
            families = [one for one in self._kept if one[0] == "anomalous_beats"]
            del self._kept[min(families, key=lambda one: _worth(self._kept[one][0]))]

    def candidates(self) -> list[Alert]:
        """Return all that may be chosen now."""
        return [alert for kept in self._kept.values() for alert in kept]

    def chosen(self, most: int = MOST_DRAWN) -> list[Alert]:
        """Return the most telling: named alarms by urgency, then beats, each the worst first."""
        named = [(kind, None) for kind in ALARM_KINDS if (kind, None) in self._kept]
        families = sorted(
            (one for one in self._kept if one[0] == "anomalous_beats"),
            key=lambda one: _worth(self._kept[one][0]),
            reverse=True,
        )
        n_beats = sum(len(self._kept[one]) for one in families)
        for_named = max(most - n_beats, min(most, MOST_NAMED * most // MOST_DRAWN))
        alarms = self._in_turn([*named], for_named)
        beats = self._in_turn(families, most - len(alarms))
        order: dict[AlertKind, int] = {kind: place for place, kind in enumerate(ALARM_KINDS)}
        alarms.sort(key=lambda one: (-_RANK[one.priority], order.get(one.kind, 0), one.sample))
        return [*alarms, *beats]

    def _in_turn(self, places: list[_Place], most: int) -> list[Alert]:
        """Return the first alert of each place, then the second of each, up to so many."""
        rounds = (
            self._kept[place][turn]
            for turn in range(KEPT_LOOSE)
            for place in places
            if turn < len(self._kept[place])
        )
        return [alert for alert, _ in zip(rounds, range(most), strict=False)]
