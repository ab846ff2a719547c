"""Frozen settings of the stages and of a whole run: endpoints, limits, timeouts, paths.

They travel to the stages' processes as JSON, so what one process was told is what the other reads.
"""

from __future__ import annotations

import hashlib
import math
import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta

from monitor.alarm_limits import RhythmLimits
from monitor.errors import InvalidOption
from monitor.wire.messages import ALARM_KINDS, MIN_THRESHOLD, AlarmKind, Count, Name, Priority, Rate

DEFAULT_ALERTS = (
    "tcp://127.0.0.1:5571"  # requests are one port above, see sockets.requests_endpoint
)
DEFAULT_SAMPLES = "tcp://127.0.0.1:5573"
DEFAULT_BEATS = "tcp://127.0.0.1:5574"
DEFAULT_WAVE = "tcp://127.0.0.1:5575"
DEFAULT_LISTEN = "127.0.0.1:8571"  # of the page for browsers

BLOCK_S = 0.2  # real time between two blocks: adds at most this to an alert's delay
MAX_BLOCK_S = 30.0  # signal a block at full speed: large enough to be cheap, small in memory
# An orderly stop takes two seconds at most, closing sockets included:
DRAIN_S = 0.9  # for what was sent to be scored
LEAVE_S = 0.7  # for the processes to leave by themselves
KEEP_DAYS, KEEP_MB = 90.0, 2000.0  # a journal holds: some 240,000 alerts with their beats

Speed = Annotated[float, Meta(gt=0, le=1e6)]
Seconds = Annotated[float, Meta(ge=0, le=1e9)]
Limit = Annotated[float, Meta(ge=1, le=3600)]


class AlertRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an episode begins, repeats and ends; InvalidOption if it could never begin or end.

    Parameters
    ----------
    n, m : int
        An episode begins when n of the last m judged beats are anomalous. The default, 1 of 1,
        says every anomalous beat: in chf07 most premature beats come alone.
    clear_after : int
        Calm beats in a row that end it. The default, 5, makes bigeminy and trigeminy one episode.
    clear_ratio : float
        A normal beat is calm if its loss is at most so many thresholds.
    repeat_beats : int
        Every how many further anomalous beats an episode is said to go on.
    run_beats : int
        Anomalous beats in a row that raise the priority to high (three are a run of
        premature beats).
    latch : bool
        Whether an episode of high priority asks to be acknowledged.
    """

    n: int = 1
    m: int = 1
    clear_after: int = 5
    clear_ratio: float = 1.0
    repeat_beats: int = 1
    run_beats: int = 3
    latch: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.n <= self.m <= 64:
            raise InvalidOption(
                f"alert rule {self.n} of {self.m}: n and m are out of range; use 1 <= n <= m <= 64"
            )
        counts = (self.clear_after, self.run_beats, self.repeat_beats)
        if not all(1 <= count <= 1000 for count in counts):
            raise InvalidOption(
                "alert rule: clear_after, run_beats or repeat_beats is out of range; use 1 to 1000"
            )
        if not 0.1 <= self.clear_ratio <= 1.0:
            raise InvalidOption(
                f"alert rule: clear_ratio {self.clear_ratio} is out of range; use 0.1 to 1"
            )

    @property
    def name(self) -> str:
        """What an alert names as its rule."""
        return f"loss-{self.n}-of-{self.m}"


AlarmPriority = Priority | Literal["off"]


class AlarmRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of each named alarm how soon someone must come (IEC 60601-1-8), or that it is off.

    Parameters
    ----------
    latch : bool
        Whether an alarm of high priority asks to be acknowledged.
    limits : RhythmLimits
        When alarms begin and end.
    """

    asystole: AlarmPriority = "high"
    ventricular_fibrillation: AlarmPriority = "high"
    ventricular_tachycardia: AlarmPriority = "high"
    extreme_tachycardia: AlarmPriority = "high"
    extreme_bradycardia: AlarmPriority = "high"
    ventricular_run: AlarmPriority = "medium"
    pause: AlarmPriority = "medium"
    tachycardia: AlarmPriority = "medium"
    bradycardia: AlarmPriority = "medium"
    irregular_rhythm: AlarmPriority = "low"
    latch: bool = True
    limits: RhythmLimits = RhythmLimits()

    def priority(self, kind: AlarmKind) -> Priority | None:
        """Return an alarm's priority; None where it is off."""
        priority: AlarmPriority = getattr(self, kind)
        return None if priority == "off" else priority

    @property
    def on(self) -> tuple[AlarmKind, ...]:
        """The alarms that are raised; where there are none, no signs need be measured."""
        return tuple(kind for kind in ALARM_KINDS if self.priority(kind) is not None)


class TechnicalRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When the monitor itself is in trouble."""

    stage_down_s: Limit = 5.0
    overload_lag_s: Limit = 1.0


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All rules; what a file leaves out has its default."""

    episode: AlertRule = AlertRule()
    technical: TechnicalRules = TechnicalRules()
    alarms: AlarmRules = AlarmRules()

    @property
    def identity(self) -> str:
        """Name and digest of the rules that decide alerts; a resumed run must have the same.

        Technical rules are left out: what they raise depends on the machine, not on the record.
        """
        of_beats = f"{self.episode.name} {_digest(self.episode)}"
        return f"{of_beats}, alarms {_digest(self.alarms)}" if self.alarms.on else of_beats


def _digest(rules: msgspec.Struct) -> str:
    return hashlib.sha256(msgspec.json.encode(rules)).hexdigest()[:8]


VerdictBy = Literal["evidence", "loss"]  # of learnt patients; loss is the bare rule


class Resume(msgspec.Struct, frozen=True):
    """Where one patient's stream goes on after a restart."""

    patient: Name
    position: Count
    segmenter_state: bytes


class StageSettings(msgspec.Struct, frozen=True, kw_only=True, tag_field="stage"):
    """What every stage is told."""

    lifecycle: str | None = None  # endpoint of the supervisor; none when started alone
    parent: int | None = None  # its process; a stage that it left behind leaves
    pulse: int | None = None  # descriptor for signs of life
    pipe: int | None = None  # descriptor of the run's standard input, where that is a source
    verbose: bool = False  # whether every step is logged, to standard error
    keys: str | None = None  # folder of CURVE keys; none: loopback and ipc only
    restarts: int = 0
    restarted: str = ""  # why, for the world to know
    resume: list[Resume] = []


class Ward(msgspec.Struct, frozen=True):
    """Many patients made of the records given, each from a place of its own."""

    patients: Annotated[int, Meta(ge=1, le=10_000)]
    block_s: tuple[Annotated[float, Meta(gt=0, le=30)], ...] = (0.2, 0.4, 0.6, 0.8, 1.0)
    seed: int = 1


class ProducerSettings(StageSettings, frozen=True, kw_only=True, tag="producer"):
    """What the producer sends, how fast, and to whom."""

    records: list[str]  # or live sources, by their names
    samples: str
    leads: list[str] = []  # as asked for, by name or index; none are all ECG leads
    fs_hz: Rate | None = None  # of what does not say its own rate, or unit
    units: str | None = None
    speed: Speed | None = 1.0  # none is as fast as the segmenter takes it
    start_s: Seconds = 0.0
    duration_s: Seconds | None = None
    loop: bool = False
    live: bool = False  # the source does not wait: while the stages are behind, samples are lost
    record: str | None = None  # where what live sources send is kept as WFDB records
    began_unix_s: float | None = None  # the run, by wall time; a live source restarted goes by it
    ward: Ward | None = None


class SegmenterSettings(StageSettings, frozen=True, kw_only=True, tag="segmenter"):
    """Where samples come from and beats go to."""

    samples: str
    beats: str
    wave: str
    window: str | None = None  # none: as the consumer's checkpoint asks
    measure_signs: bool = True  # what named alarms are decided on
    live: bool = False  # the source does not wait: little may wait between the stages


class ConsumerSettings(StageSettings, frozen=True, kw_only=True, tag="consumer"):
    """How beats are judged and where alerts go to."""

    beats: str
    alerts: str
    journal: str  # path of the journal's file
    checkpoint: str | None = None  # none is the checkpoint that ships
    threshold: Annotated[float, Meta(ge=MIN_THRESHOLD, le=1e6)] | None = None
    learn_s: Seconds | None = None
    false_alerts_per_hour: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    verdict: VerdictBy = "evidence"
    rules: Rules = Rules()
    live: bool = False  # the source does not wait: to catch up, late beats are not told
    real_time: bool = True  # whether the producer waits; otherwise to be behind is no trouble
    keep_s: Annotated[float, Meta(gt=0, le=1e10)] = KEEP_DAYS * 86_400  # of the journal's own time
    keep_bytes: Annotated[int, Meta(ge=1_000_000)] = round(KEEP_MB * 1e6)
    metrics: str | None = None  # PORT or HOST:PORT that Prometheus reads; none: not counted


AnyStageSettings = ProducerSettings | SegmenterSettings | ConsumerSettings


def encode_settings(settings: AnyStageSettings) -> bytes:
    """Return the JSON that a stage's process reads on its standard input."""
    return msgspec.json.encode(settings)


def decode_settings(text: bytes) -> AnyStageSettings:
    """Check and read a stage's settings; InvalidOption if they are malformed."""
    decoder: msgspec.json.Decoder[AnyStageSettings] = msgspec.json.Decoder(AnyStageSettings)
    try:
        return decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidOption(f"stage settings on standard input: {error}") from error


def parse_verdict(text: str) -> VerdictBy:
    """Read `--verdict`; InvalidOption if it is neither."""
    for known in get_args(VerdictBy):
        if text == known:
            verdict: VerdictBy = known
            return verdict
    raise InvalidOption(f"--verdict {text!r} is unknown; use evidence or loss")


_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?)")


def parse_duration(text: str, option: str) -> float:
    """Read `90`, `1:30` or `1:30:00` as seconds; InvalidOption otherwise."""
    match = _CLOCK.fullmatch(text.strip())
    if match is None:
        raise InvalidOption(
            f"{option} {text!r} is not a time; write seconds (90), m:ss (1:30) or h:mm:ss (1:30:00)"
        )
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    if match.group(2) is not None and seconds >= 60:
        raise InvalidOption(
            f"{option} {text!r} has 60 seconds or more after the colon; write 1:30, not 0:90"
        )
    return bounded_seconds(hours * 3600 + minutes * 60 + seconds, option)


def parse_optional_duration(text: str | None, option: str) -> float | None:
    """Read a time that may be left out, as `parse_duration` does; None stays None."""
    return None if text is None else parse_duration(text, option)


def parse_since(text: str, now: datetime) -> str:
    """Read `--since`: 2026-03-01T22:00 (local unless it says its zone), or how long before now.

    Returns
    -------
    str
        The time in UTC, as messages say it.
    """
    if _CLOCK.fullmatch(text.strip()):
        moment = now - timedelta(seconds=parse_duration(text, "--since"))
    else:
        try:
            moment = datetime.fromisoformat(text.strip()).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise InvalidOption(
                f"--since {text!r} is not a time; write 2026-03-01T22:00, or how long ago: 8:00:00"
            ) from error
    return wall_time_text(moment)


def wall_time_text(moment: datetime) -> str:
    """Return a time in UTC as messages say it."""
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def bounded_seconds(seconds: float, option: str) -> float:
    """Return seconds if they are finite and at most 1e9 (31 years); InvalidOption otherwise."""
    if not math.isfinite(seconds) or not 0 <= seconds <= 1e9:
        raise InvalidOption(f"{option} is out of range; use 0 to 1e9 seconds")
    return seconds


def parse_speed(text: str) -> float | None:
    """Read `--speed`: a factor of real time, or `max`, which is None."""
    if text.strip().lower() == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not 0 < speed <= 1e6:
        raise InvalidOption(f"--speed {text!r} is not a factor; use 1 for real time, 10, … or max")
    return speed


def parse_threshold_change(text: str) -> tuple[float | None, float | None]:
    """Read where a threshold is to be moved: a loss, or the factor that `+5%` stands for."""
    threshold = _loss(text)
    if threshold is not None:
        return threshold, None
    try:
        factor = 1 + float(text.removesuffix("%")) / 100 if text.endswith("%") else math.nan
    except ValueError:
        factor = math.nan
    if text[:1] not in ("+", "-") or not 0.1 <= factor <= 10:
        raise InvalidOption(
            f"{text!r} moves no threshold; give a loss, such as 26, or -90% to +900%, such as +5%"
        )
    return None, factor


def parse_threshold(text: str) -> float:
    """Read `--threshold`: a reconstruction loss above 0 (at least MIN_THRESHOLD)."""
    threshold = _loss(text)
    if threshold is None:
        raise InvalidOption(
            f"--threshold {text!r} is not a number above 0; give a loss, such as 26"
        )
    return threshold


def _loss(text: str) -> float | None:
    try:
        threshold = float(text)
    except ValueError:
        return None
    return threshold if MIN_THRESHOLD <= threshold <= 1e6 else None
