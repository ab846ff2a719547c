"""Every message type: this docstring is the protocol, `codec` its bytes.

Between the stages (ZeroMQ PUSH -> PULL), bundles: messages of one patient or of many, in order, as
seven frames, each of which may be empty:

    [ headers | samples | columns | lead_quality | beats | signs | states ]

    SamplesHeader   producer => segmenter: n float32 samples of each lead in mV, then of each pulse
                    wave in its own unit; NaN is a gap
    BeatsHeader     segmenter => consumer: n rows of BEAT_COLUMNS, of each beat and lead its quality
                    (uint16) and `length` float32 values; the signs of the hops that ended; and a
                    state: what the segmenter needs to resume at `position`, or empty
    EndHeader       no more will come of a patient
    ShedHeader      none will come of a patient until there is room: a source that cannot wait
    HealthHeader    how a stage is, so that the last one can tell the world how all are

Headers are a msgpack array of tagged structs. The other frames hold what belongs to them, end to
end in their order: samples lead after lead, beats lead after lead in each beat, all little-endian;
states a msgpack array of byte strings, one for each BeatsHeader. `signs` holds six columns one
behind the other, each of all BeatsHeaders (see `segmenter.signs.Signs`): ends of hops (int64),
windows of each hop and lead, complexes, shapes of each complex and lead, a byte of each hop and
pulse wave (1 where it can be read), pulses.
Positions count samples from the record's start; with `--loop` they keep rising.

Between the supervisor and its stages (ROUTER <-> DEALER), one msgpack frame, see `Lifecycle`.

To the world (ZeroMQ PUB), two frames: `topic`, JSON.

    alert.<patient>       Alert       an anomaly episode begins, goes on, or is cleared
    technical.<patient>   Technical   the signal cannot be judged: lead off, noise, silence; or the
                                      model does not fit it
    beat.<patient>        BeatScored  every beat with its loss
    status                Status      once a second: newest sequence number, health of the stages
    wave.<patient>        Wave        the signal itself, for a view; on the segmenter's own socket

Alerts and technical alerts share one sequence, `seq`, without holes. A client that misses some asks
for them on the request socket (ZeroMQ ROUTER, see `Request`).

Nothing here trusts its input: sizes are bounded before memory is taken, and what is no such message
is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Literal, NamedTuple, get_args

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from segmenter.beat import Beats, joined_beats
from segmenter.signs import Signs

MAX_SAMPLES = 1 << 22  # samples a message, of all leads: 16 MiB, 4.6 h of one lead at 250 Hz
MAX_LEADS = 16
MAX_WAVES = 4  # pulse waves of a patient
MAX_WINDOWS = 1 << 17  # hops times leads a message: of MAX_SAMPLES at 100 Hz 84,000
MAX_PULSES = 1 << 17
MAX_BEATS = 1 << 14  # beats a message
MAX_BEAT_LENGTH = 4096
MAX_BEAT_VALUE = 1e6  # a standardised beat of n samples stays below the root of n
MIN_THRESHOLD = 1e-3  # of a loss; ratios to far smaller ones are infinite
MAX_STATE_BYTES = 1 << 22
MAX_BUNDLE = 1024  # messages
MAX_JSON_BYTES = 1 << 23  # a heartbeat of 10,000 patients takes 4 MB
MAX_PAGE = 500  # alerts a reply, about 4 KB each
MAX_FAMILIES = 8  # of a patient, in a heartbeat
MAX_SHAPE = 64  # values of a family's shape
MAX_REPLY_BYTES = 1 << 23
MAX_REQUEST_BYTES = 1 << 12  # the longest name, every character escaped, takes half
MAX_FRAME_BYTES = 4 * MAX_SAMPLES  # what a socket takes at most

Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")]
LeadNames = Annotated[  # of one lead or more, as people read them: "MLII, V5"
    str, Meta(min_length=1, max_length=2100, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$(?!\n)")
]
Count = Annotated[int, Meta(ge=0, le=(1 << 53) - 1)]
Rate = Annotated[float, Meta(ge=1e-3, le=100_000)]  # a tiny one makes times infinite
WallTime = Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$(?!\n)")]
Leads = Annotated[list[Name], Meta(min_length=1, max_length=MAX_LEADS)]
Waves = Annotated[list[Name], Meta(max_length=MAX_WAVES)]  # pulse waves beside the leads
SpecIdentity = Annotated[str, Meta(pattern="^[0-9a-f]{8}$")]
SignalKind = Literal[  # what the signal shows; of lead_left_out the other leads are still judged
    "lead_off", "signal_lost", "noisy", "no_beat", "lead_left_out"
]
StreamKind = Literal["stream_restarted", "two_senders"]  # how its samples come
ModelKind = Literal["model_unfit"]  # the signal is good; the model's verdicts say nothing
PatientKind = Literal[SignalKind, StreamKind, ModelKind, "no_verdict"]
SystemKind = Literal[  # of the patient MONITOR
    "stage_down", "overload", "journal_failing", "journal_went_back", "limit_reached"
]
_READABLE = frozenset({*get_args(ModelKind), "two_senders", "lead_left_out"})  # one is still judged
SHED = "shed"  # among what lasts of a patient: `overload` is the alert
UNSERVED = "unserved"  # among what lasts of a ward's patient: no worker has the partition
MONITOR = "monitor"  # the name under which the monitor speaks of itself
# Topics of all patients; with a name behind it, of one.
ALL_BEATS, ALL_WAVES = "beat.", "wave."
Why = Literal["shape", "premature", "late"]
AlarmKind = Literal[  # what a rhythm is called that someone must come for
    "asystole",
    "ventricular_fibrillation",
    "ventricular_tachycardia",
    "extreme_tachycardia",
    "extreme_bradycardia",
    "ventricular_run",
    "pause",
    "tachycardia",
    "bradycardia",
    "irregular_rhythm",
]
ALARM_KINDS: tuple[AlarmKind, ...] = get_args(AlarmKind)  # the most urgent first
AlertKind = Literal["anomalous_beats"] | AlarmKind
Priority = Literal["high", "medium", "low"]  # IEC 60601-1-8: how soon someone must come
FamilyWord = Literal["", "normal", "always"]
StageName = Literal["producer", "segmenter", "consumer"]

BEAT_COLUMNS = np.dtype(
    [
        ("r_sample", "<i8"),
        ("rr_before_ms", "<f4"),
        ("rr_after_ms", "<f4"),
        ("delay_ms", "<f4"),
        ("closed_sample", "<i8"),
        ("quality", "<u2"),
    ]
)


class Header(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """What every message between stages says."""

    version: Literal[5]
    patient: Name
    record: Name
    sequence: Count  # of this sender and patient; a hole is a lost message
    sent_ns: int  # monotonic clock of the producer's host when the samples were sent
    position: Count  # sample after the last one this message speaks of


class SamplesHeader(Header, frozen=True, tag="samples", forbid_unknown_fields=True):
    """A block of samples; `position` is the sample of the block's first value."""

    leads: Leads
    fs_hz: Rate
    n_samples: Annotated[int, Meta(ge=1, le=MAX_SAMPLES)]  # of each lead and wave
    sender: Count  # tells one producer from another; a number drawn when it starts
    waves: Waves = []


class RecordEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The signal became unreadable, or readable again; or its stream began anew."""

    event: SignalKind | StreamKind
    state: Literal["onset", "cleared"]
    sample: Count
    leads: Annotated[list[Name], Meta(max_length=MAX_LEADS)] = []  # it is of; empty: of all


class BeatsHeader(Header, frozen=True, tag="beats", forbid_unknown_fields=True):
    """The beats that became ready; `position` is the sample up to which the segmenter has seen."""

    leads: Leads
    fs_hz: Rate
    spec: SpecIdentity
    length: Annotated[int, Meta(ge=1, le=MAX_BEAT_LENGTH)]
    n_beats: Annotated[int, Meta(ge=0, le=MAX_BEATS)]
    events: Annotated[list[RecordEvent], Meta(max_length=MAX_BEATS)]
    stretch: Count  # tells this stretch of the patient's samples from the one before
    first_sample: Count  # where the stretch began
    waves: Waves = []
    # Signs, 0 where no hop ended or signs are not measured:
    n_hops: Annotated[int, Meta(ge=0, le=MAX_WINDOWS)] = 0
    n_complexes: Annotated[int, Meta(ge=0, le=MAX_BEATS)] = 0
    n_pulses: Annotated[int, Meta(ge=0, le=MAX_PULSES)] = 0


class EndHeader(Header, frozen=True, tag="end", forbid_unknown_fields=True):
    """No more will come of this patient."""

    reason: Literal["complete", "stopped"]
    last: bool  # the producer has no other stream left


class ShedHeader(Header, frozen=True, tag="shed", forbid_unknown_fields=True):
    """From `position` on nothing is sent of this patient, until samples come again: overload.

    Said once when it begins, and now and then while it lasts.
    """

    leads: Leads
    fs_hz: Rate


class StageHealth(msgspec.Struct, frozen=True):
    """What one stage says of itself; counters count from its start."""

    stage: StageName
    messages_in: Count
    messages_out: Count
    malformed: Count  # messages counted and dropped
    gaps: Count  # holes in sequence or position
    dropped: Count  # samples or beats lost in holes, overlaps and full queues
    restarts: Count
    age_s: float = 0.0  # since it was last heard
    paused: bool = False  # by a person
    refused_patients: Count = 0  # messages of patients for whom there was no room
    refused_views: Count = 0  # subscriptions to waveforms for which there was no room


class HealthHeader(
    msgspec.Struct, frozen=True, tag_field="kind", tag="health", forbid_unknown_fields=True
):
    """How the stage before is; passed down with the data, once a second."""

    version: Literal[5]
    health: StageHealth


class SamplesMessage(NamedTuple):
    """A block of samples: shape (leads + waves, n), float32; NaN is a gap.

    Leads in mV, behind them the pulse waves in their own units.
    """

    header: SamplesHeader
    samples: NDArray[np.float32]


class BeatsMessage(NamedTuple):
    """Beats that became ready, and the state from which the segmenter resumes behind them.

    The beats are `header.n_beats` rows of what may be a whole bundle's, from row `first` on:
    messages of one bundle share its arrays, and who judges them together need not join them again.
    """

    header: BeatsHeader
    together: Beats
    state: bytes
    first: int = 0
    signs: Signs | None = None  # of hops that ended; none where none did, or they are not measured

    @property
    def beats(self) -> Beats:
        """The message's own rows: views of what they were received with."""
        return self.together.rows(slice(self.first, self.first + self.header.n_beats))

    @property
    def first_r_sample(self) -> int:
        """The first R peak, of a message that has beats."""
        return int(self.together.r_sample[self.first])

    @property
    def last_r_sample(self) -> int:
        """The last R peak, of a message that has beats."""
        return int(self.together.r_sample[self.first + self.header.n_beats - 1])


def stretches(messages: Iterable[BeatsMessage]) -> list[Beats]:
    """Return the beats of messages, in order: those whose rows lie together in one piece."""
    found: list[tuple[Beats, int, int]] = []
    for message in messages:
        beats, first, stop = message.together, message.first, message.first
        if found and found[-1][0] is beats and found[-1][2] == first:
            first = found.pop()[1]
        found.append((beats, first, stop + message.header.n_beats))
    return [beats.rows(slice(first, stop)) for beats, first, stop in found]


def joined_messages(messages: Iterable[BeatsMessage], length: int, leads: int = 1) -> Beats:
    """Return the beats of messages of as many leads, in order; rows that lie together stay."""
    return joined_beats(stretches(messages), length, leads)


StageMessage = SamplesMessage | BeatsMessage | EndHeader | ShedHeader | HealthHeader


def joined_leads(leads: Iterable[str]) -> str:
    """Return the names of leads as people read them."""
    return ", ".join(leads)


def named_leads(leads: Sequence[str]) -> str:
    """Return leads as a phrase: `lead MLII`, `leads MLII, V1`."""
    return f"lead{'s' if len(leads) > 1 else ''} {joined_leads(leads)}"


# --- to the world -----------------------------------------------------------------------------


class Published(msgspec.Struct, frozen=True, tag_field="type"):
    """What every message to the world says. Unknown fields are ignored: newer senders may add.

    An alert of a named alarm has schema 2: it has no loss, which readers of schema 1 rely on.
    """

    schema: Literal[1, 2]
    patient: Name
    record: Name
    lead: LeadNames  # of several: those it speaks of
    sample: Count  # R peak, or the sample an event began at; from the record's start
    time_s: float  # the same in seconds of the record
    wall_time: str  # UTC, ISO 8601: when the message was made


class BeatScored(Published, frozen=True, tag="beat"):
    """One beat and its reconstruction loss; a beat without a verdict has no loss."""

    loss: float | None
    threshold: float | None  # none while learning
    anomalous: bool
    rr_before_ms: float | None
    rr_after_ms: float | None
    quality: list[str]  # names of what is wrong; empty is good
    why: list[Why] = []  # what made it anomalous: its shape, or its time
    losses: list[float | None] = []  # of each lead, where there are several; `loss` is the worst
    score: float | None = None  # what is held against 1; none without a verdict
    weighed: bool = False  # by evidence; otherwise the score is of the losses and the beat's time
    family: Count | None = None  # of anomalous beats that look alike; none of a normal beat
    sent_ns: int = 0  # monotonic clock of the producer's host when its last sample was sent


class LossByPart(msgspec.Struct, frozen=True):
    """Shares of a loss by the part of the beat it arose in; they sum to 1."""

    p: float  # before the QRS complex, with the P wave
    qrs: float
    t: float  # behind it, with the T wave


class Neighbour(msgspec.Struct, frozen=True):
    """A beat of the learnt normal that is near to an anomalous one."""

    distance: float  # sum of absolute differences
    beat: list[float]  # standardised, laid on the learnt template


class Alert(Published, frozen=True, tag="alert"):
    """An anomaly episode begins (onset), goes on (ongoing: one more beat) or ends (cleared).

    Or a person acted: acknowledged one, or said a word about a family of beats (marked).
    """

    id: str  # of patient, record, sample, rule, model and state: the same transition, the same id
    seq: Count
    journal: str  # where seq counts; a new journal counts from 1 again
    state: Literal["onset", "ongoing", "cleared", "acknowledged", "marked"]
    priority: Priority
    rule: str
    loss: float | None  # of this beat in `lead`, or the worst when cleared; none of a named alarm
    threshold: float | None  # of this lead
    ratio: float | None  # loss / threshold
    rr_before_ms: float | None
    rr_after_ms: float | None
    quality: list[str]
    episode_beats: Count  # anomalous beats in the episode so far
    episode_start_sample: Count
    model: str  # identity of the checkpoint
    delay_ms: float | None  # signal time from the R peak to its detection; none when cleared
    beat: list[float]  # the cut beat, standardised; empty when cleared
    reconstruction: list[float]  # what the autoencoder made of it
    why: list[Why] = []  # what speaks most for it: its shape or its time; empty when cleared
    score: float | None = None  # loss weighted by evidence, or by time alone, over the threshold
    parts: LossByPart | None = None  # where along the beat the loss arose; none when cleared
    neighbours: list[Neighbour] = []  # of the learnt normal, nearest first; where one was learnt
    duration_s: float = 0.0  # of the episode, from its first to its newest anomalous beat
    rate_per_min: float | None = None  # its anomalous beats a minute; none for a single one
    durable: bool = True  # whether it was in the journal when it was sent; otherwise it follows
    leads: list[str] = []  # whose losses, weighted by time, exceed their thresholds; else `lead`
    family: Count | None = None  # of beats that look alike: the beat's, or the one marked
    word: FamilyWord = ""  # when marked: what a person says of the family; "" takes it back
    by: str = ""  # when acknowledged or marked: who, as the client says; nobody checks it
    kind: AlertKind = "anomalous_beats"  # or the name of the alarm, which has no beat of its own
    text: str = ""  # of a named alarm, as people are told it


class BeatMeasures(NamedTuple):
    """What was measured of an alert's beat.

    Attributes
    ----------
    ratio : float
        Loss over threshold.
    score : float or None
        Where evidence judged the beat, what it is held against 1 by: its loss alone may be below
        the threshold.
    """

    loss: float
    threshold: float
    ratio: float
    score: float | None

    @property
    def times_above(self) -> float:
        """How many times above its bound the beat is, as people are shown it."""
        return self.ratio if self.score is None else self.score


def measured(alert: Alert) -> BeatMeasures | None:
    """Return what was measured of an alert's beat; a named alarm has none."""
    if alert.kind != "anomalous_beats":
        return None
    if alert.loss is None or alert.threshold is None or alert.ratio is None:
        return None
    score = (
        None if alert.family is None else alert.score
    )  # only a beat that evidence judged has one
    return BeatMeasures(alert.loss, alert.threshold, alert.ratio, score)


def began_s(alert: Alert) -> float:
    """Return when what an alert is about began, in seconds of the record."""
    if alert.sample <= 0:
        return alert.time_s
    return alert.time_s * (alert.episode_start_sample / alert.sample)


class Technical(Published, frozen=True, tag="technical"):
    """The signal cannot be judged, or can be again; meanwhile verdicts are withheld.

    Of `model_unfit` they are published and raise no alert; the heart rate stands.
    """

    id: str
    seq: Count
    journal: str
    event: PatientKind | SystemKind
    state: Literal["onset", "cleared"]
    text: str
    durable: bool = True  # as of an alert; one that says that nothing can be kept has seq 0
    inhibits: list[AlarmKind] = []  # named alarms that cannot be told while it lasts


class FamilyStatus(msgspec.Struct, frozen=True, omit_defaults=True):
    """Anomalous beats of a patient that look alike."""

    number: Count  # what alerts and beats name it by; never used again for another
    beats: Count
    per_minute: Count = 0  # in the minute up to its last beat
    word: FamilyWord = ""  # what a person said of it
    heard: bool = False  # whether it began an alert, or came during one
    shape: Annotated[list[int], Meta(max_length=MAX_SHAPE)] = []  # of one lead; its peak is 100


def is_unreadable(technical: Iterable[str]) -> bool:
    """Tell whether technical events that last make the signal unreadable, and so the heart rate."""
    return not _READABLE.issuperset(technical)


class LearningStatus(msgspec.Struct, frozen=True):
    """How far the learning of one patient is: it collects beats, then a model is trained."""

    left_s: float  # signal that is still collected; 0 once the training was asked for
    beats: Count  # collected so far
    training: bool = False  # collected: the model is trained, or waits to be
    ahead: Count = 0  # trainings of other patients that come first
    held: Count = 0  # beats that wait for the training's end; lag_s is how late they are


class AlarmStatus(msgspec.Struct, frozen=True):
    """A named alarm that stands: it lasts, or waits to be acknowledged."""

    kind: AlarmKind
    priority: Priority
    since_sample: Count
    since_s: float  # the same in seconds of the record
    lasts: bool  # otherwise it is over, and nobody has acknowledged it
    latched: bool  # it asks to be acknowledged


class PatientStatus(msgspec.Struct, frozen=True):
    """How far one patient is."""

    patient: Name
    record: Name
    lead: LeadNames  # of several: all of them
    fs_hz: Rate
    position: Count  # samples judged
    n_samples: Count | None  # of the whole record; none where it has no end
    state: Literal["learning", "monitoring", "ended"]
    beats: Count
    anomalous: Count
    alerts: Count  # onsets, those of named alarms too
    withheld: Count  # beats that could not be judged
    threshold: float | None
    heart_rate_bpm: float | None
    # From the sending of the samples to the batch in which their beats are scored; of beats that
    # wait for a training so far.
    lag_s: float
    # Technical alerts that last; and `shed`, of which no alert is raised for each patient: nothing
    # is sent of the patient, because the monitor is overloaded.
    technical: list[str]
    note: str  # what the learning says; empty otherwise
    latched: bool = False  # a high alert was not acknowledged
    judged: Count = 0  # beats with a verdict; the rest were withheld or learnt from
    learning: LearningStatus | None = None  # while the state is learning
    leads: list[str] = []
    left_out: list[str] = []  # leads that have no part in the verdicts now
    # Of anomalous beats that look alike, the most frequent first, at most 8; none: not told in this
    # heartbeat, since there are many patients.
    families: list[FamilyStatus] | None = None
    alarms: list[AlarmStatus] = []  # named alarms that stand, the most urgent first
    inhibited: list[AlarmKind] = []  # named alarms that cannot be told now: unread leads, noise


class WardCounts(msgspec.Struct, frozen=True):
    """All patients together."""

    learning: Count = 0
    monitoring: Count = 0
    ended: Count = 0
    technical: Count = 0  # patients whose signal cannot be judged
    latched: Count = 0
    shed: Count = 0  # patients of whom nothing is sent, because the monitor is overloaded
    beats: Count = 0
    lag_s: float = 0.0  # the largest of those that are monitored or wait for a training


class Status(msgspec.Struct, frozen=True, tag_field="type", tag="status"):
    """The heartbeat: once a second, also when nothing happens.

    Of many patients it speaks in turn, some in each; `ward` is of all.
    """

    schema: Literal[1]
    newest_seq: Count
    journal: str
    wall_time: str
    speed: float | None  # samples' time over real time since the start
    patients: list[PatientStatus]
    stages: list[StageHealth]
    model: str
    refused_clients: Count = 0  # attempts to connect without keys that are authorised
    limited_requests: Count = 0  # requests refused because a client, or all, asked for too much
    journal_failing: str = ""  # why alerts cannot be kept; empty where they are
    ward: WardCounts = WardCounts()
    origin: str = ""  # the journal's first identity: it gets another when an older copy is restored


class OtherLead(msgspec.Struct, frozen=True):
    """The signal of a further lead of the same stretch."""

    lead: Name
    values: Annotated[list[float | None], Meta(max_length=4096)]  # mV


class Wave(msgspec.Struct, frozen=True, tag_field="type", tag="wave"):
    """A stretch of the signal for the view, thinned to about 125 Hz; null where it is missing.

    Who begins to listen is sent the last ten seconds first, without their R peaks.
    """

    schema: Literal[1]
    patient: Name
    sample: Count  # of the first value
    fs_hz: Rate  # of these values
    values: Annotated[list[float | None], Meta(max_length=4096)]  # mV
    r_samples: Annotated[list[int], Meta(max_length=1024)]  # R peaks that became known
    record_fs_hz: Rate | None = None  # of the samples that `sample` and `r_samples` count
    lead: str = ""  # of `values`
    others: Annotated[list[OtherLead], Meta(max_length=MAX_LEADS)] = []


Message = BeatScored | Alert | Technical | Status | Wave


# --- requests ---------------------------------------------------------------------------------


class ReplayRequest(msgspec.Struct, frozen=True, tag_field="type", tag="replay"):
    """Everything after a sequence number, a page at a time.

    A client that has had alerts names the newest: a journal that went back has another of its
    number, or none.
    """

    after: Count
    limit: Annotated[int, Meta(ge=1, le=MAX_PAGE)] = 500
    journal: Annotated[str, Meta(max_length=64)] = ""  # where the client's number counts
    id: Annotated[str, Meta(max_length=128)] = ""  # of the alert of that number; not given: ""


class SeekRequest(msgspec.Struct, frozen=True, tag_field="type", tag="seek"):
    """Which sequence number everything since a wall time comes after."""

    since: WallTime


class ThresholdRequest(msgspec.Struct, frozen=True, tag_field="type", tag="threshold"):
    """Set a patient's threshold, or multiply it; no patient means all."""

    patient: Name | None = None
    value: Annotated[float, Meta(gt=0, le=1e6)] | None = None
    factor: Annotated[float, Meta(ge=0.1, le=10)] | None = None


class RelearnRequest(msgspec.Struct, frozen=True, tag_field="type", tag="relearn"):
    """Learn a patient's normal anew from the signal that comes; no patient means all."""

    patient: Name | None = None


class Page(msgspec.Struct, frozen=True, tag_field="type", tag="page"):
    """The answer to a ReplayRequest, oldest first; none before `oldest_seq` is kept."""

    journal: str
    oldest_seq: Count
    newest_seq: Count
    messages: list[Alert | Technical]
    origin: str = ""  # the journal's first identity; the same for its copies
    continues: bool | None = None  # whether the journal holds what the client had last; else none


class Found(msgspec.Struct, frozen=True, tag_field="type", tag="found"):
    """The answer to a SeekRequest: what to ask for is after this number."""

    journal: str
    after: Count


class Done(msgspec.Struct, frozen=True, tag_field="type", tag="done"):
    """A request was carried out."""

    text: str


class Refused(msgspec.Struct, frozen=True, tag_field="type", tag="refused"):
    """A request was malformed or cannot be carried out."""

    text: str


class AckRequest(msgspec.Struct, frozen=True, tag_field="type", tag="ack"):
    """Acknowledge a patient's high alert; no patient means all."""

    patient: Name | None = None
    by: Annotated[str, Meta(max_length=128)] = ""  # who has seen it


class MarkRequest(msgspec.Struct, frozen=True, tag_field="type", tag="mark"):
    """Say of a family of a patient's beats what it is: normal, or always to be heard."""

    patient: Name
    family: Annotated[int, Meta(ge=1, le=(1 << 53) - 1)]
    word: FamilyWord  # "" takes back what was said
    by: Annotated[str, Meta(max_length=128)] = ""  # who says so
    journal: Annotated[str, Meta(max_length=64)] = ""  # where the family was seen; "": not checked


ControlRequest = ThresholdRequest | RelearnRequest | AckRequest | MarkRequest
Request = ReplayRequest | SeekRequest | ControlRequest
Reply = Page | Found | Done | Refused

# --- lifecycle --------------------------------------------------------------------------------


class Stream(msgspec.Struct, frozen=True):
    """One patient's record, as the producer opened it."""

    patient: Name
    record: Name
    leads: Leads
    fs_hz: Rate
    first_sample: Count
    n_samples: Count | None  # none with --loop
    digest: str = ""  # of the first samples: tells a record from another of the same name
    warnings: list[Annotated[str, Meta(max_length=1000)]] = []  # wrong, and read all the same
    waves: Waves = []


class Ready(msgspec.Struct, frozen=True, tag_field="kind", tag="ready"):
    """A stage has its sockets and its files open and waits for Start."""

    stage: StageName
    streams: list[Stream] = []  # the producer's
    spec: dict[str, str | int] = {}  # the consumer's: how it wants beats cut
    journal: str = ""  # the consumer's: tells its messages from another monitor's


class Finished(msgspec.Struct, frozen=True, tag_field="kind", tag="finished"):
    """A stage has passed on everything that will come."""

    stage: StageName


class Failed(msgspec.Struct, frozen=True, tag_field="kind", tag="failed"):
    """A stage cannot do what it was asked; starting it again would not help."""

    stage: StageName
    text: str
    exit_code: int


class PassedOver(msgspec.Struct, frozen=True, tag_field="kind", tag="passed_over"):
    """The producer cannot replay a record, or not to its end; the others go on."""

    record: str
    text: str


class StageNotice(msgspec.Struct, frozen=True, tag_field="kind", tag="notice"):
    """What a person should know: a live source was lost, is back, sends what cannot be read."""

    text: str


class Start(msgspec.Struct, frozen=True, tag_field="kind", tag="start"):
    """All stages are ready."""

    streams: list[Stream]
    spec: dict[str, str | int]


class Pause(msgspec.Struct, frozen=True, tag_field="kind", tag="pause"):
    """To the producer: hold, or go on."""

    paused: bool


class Stop(msgspec.Struct, frozen=True, tag_field="kind", tag="stop"):
    """End in order: pass on what was received, then leave."""


Lifecycle = Ready | Finished | Failed | PassedOver | StageNotice | Start | Pause | Stop
