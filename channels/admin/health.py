"""What is known of channels now, in words and colour: the cells of their list and of their pages."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils.timesince import timesince
from redis.exceptions import RedisError

from channels.governance import State, in_words, most_telling, state_of
from channels.models import AuthorisationEvidence, Channel, UpstreamKey
from channels.selectors import ChannelHealth, KeyHealth, health_of_channels
from newapi.kernel import clock, money


@dataclass(frozen=True, slots=True)
class Cell:
    """What one place says. `tone`: success, info, warning or danger makes it a label; `note` stands below."""

    words: str
    tone: str = ""
    note: str = ""


NOTHING = Cell("–")
UNKNOWN = Cell("unknown")
REDIS_AWAY = "Redis is out of reach"

_RIGHTS = {
    State.IN_FORCE: ("In force", "success"),
    State.ENDING: ("Ends soon", "warning"),
    State.TO_COME: ("Not begun", "warning"),
    State.WAITING: ("Waits for approval", "warning"),
    State.ENDED: ("Ended", "danger"),
}


def reading() -> dict[int, ChannelHealth] | None:
    """The health of every channel by its id, or None when Redis is out of reach."""
    try:
        return health_of_channels()
    except (RedisError, OSError):
        return None


def cells_of(channels: Sequence[Channel]) -> dict[int, dict[str, Cell]]:
    """Channel id → the cells by name. Four queries and one reading of Redis, however many channels."""
    known, today = reading(), clock.today()
    keys: dict[int, list[UpstreamKey]] = defaultdict(list)
    for key in UpstreamKey.objects.filter(channel__in=channels).defer("sealed").order_by("pk"):
        keys[key.channel_id].append(key)
    pieces: dict[int | None, list[AuthorisationEvidence]] = defaultdict(list)
    for piece in AuthorisationEvidence.objects.filter(channel__in=channels):
        pieces[piece.channel_id].append(piece)
    found = {}
    for channel in channels:
        state = None if known is None else known.get(channel.pk, ChannelHealth())
        telling = most_telling(pieces[channel.pk], today)
        found[channel.pk] = {
            "state": _state(channel, state, keys[channel.pk], telling),
            "in_flight": UNKNOWN if state is None else Cell(f"{state.in_flight:,}"),
            "errors": UNKNOWN if state is None else _errors(channel, state),
            "first_byte": UNKNOWN if state is None else _first_byte(state),
            "right": _right(telling),
            "keys": _keys(keys[channel.pk], state),
            "balance": _balance(channel),
            "pauses": UNKNOWN if state is None else _pauses(state),
            **{f"key-{key.pk}": key_cell(key, state) for key in keys[channel.pk]},
        }
    return found


def key_cell(key: UpstreamKey, state: ChannelHealth | None) -> Cell:
    """An upstream key: in use, at rest, or switched off with the reason."""
    if not key.is_active:
        since = f"since {_moment(key.disabled_at)}: " if key.disabled_at else ""
        return Cell("Switched off", "danger", f"{since}{key.disabled_reason}".removesuffix(": "))
    if state is None:
        return Cell("unknown", "", REDIS_AWAY)
    rest = state.keys.get(key.pk, KeyHealth())
    return _breaker(rest.state, rest.reason, rest.until) or Cell("In use", "success")


def _state(
    channel: Channel, state: ChannelHealth | None, keys: list[UpstreamKey], telling: AuthorisationEvidence | None
) -> Cell:
    """Whether calls go there now, and what keeps them from it."""
    if channel.status != Channel.Status.ENABLED:
        if state is not None and state.in_flight:
            return Cell("Draining", "warning", _counted(state.in_flight, "call") + " still open")
        return Cell("Disabled", "danger")
    if settings.CHANNEL_EVIDENCE_REQUIRED and not _counts(telling):
        return Cell("Not used", "danger", "no evidence is in force")
    if not any(key.is_active for key in keys):
        return Cell("Not used", "danger", "no key is in use")
    if state is None:
        return Cell("unknown", "", REDIS_AWAY)
    paused = f"{_counted(len(state.quotas), 'model')} paused: out of quota" if state.quotas else ""
    return _breaker(state.state, state.reason, state.until) or Cell("Ready", "success", paused)


def _breaker(state: str, reason: str, until: datetime | None) -> Cell | None:
    """A breaker in words; None while it is closed."""
    if state == "open" and until is not None:
        return Cell("Resting", "danger", f"until {_moment(until)}, because: {reason}")
    if state == "half_open":
        return Cell("On trial", "warning", f"one call at a time tries it; it rested because: {reason}")
    return None


def _errors(channel: Channel, state: ChannelHealth) -> Cell:
    if not state.calls:
        return NOTHING
    percent = 100 * state.errors / state.calls
    tone = "danger" if percent >= channel.breaker_error_percent else "warning" if state.errors else ""
    return Cell(f"{percent:.0f} %", tone, f"{state.errors:,} of {state.calls:,}")


def _first_byte(state: ChannelHealth) -> Cell:
    if state.latency_ms is None:
        return NOTHING
    return Cell(f"{state.latency_ms:,.0f} ms" if state.latency_ms < 10_000 else f"{state.latency_ms / 1000:,.1f} s")


def _right(telling: AuthorisationEvidence | None) -> Cell:
    """Whether we may use it."""
    words, tone = ("Missing", "danger") if telling is None else _RIGHTS.get(_state_of(telling), ("Missing", "danger"))
    # What the label says already is not said again.
    said = "" if telling is None else in_words(telling, clock.today())
    return Cell(words, tone, said.removeprefix("In force, without an end").removeprefix("Waiting for approval"))


def _keys(keys: list[UpstreamKey], state: ChannelHealth | None) -> Cell:
    """How many are in use, and why the others are not."""
    active = [key for key in keys if key.is_active]
    resting = [] if state is None else [key for key in active if state.keys.get(key.pk, KeyHealth()).state != "closed"]
    refused = [key for key in keys if not key.is_active and key.disabled_reason.startswith("The upstream refused")]
    notes = [f"…{key.last_four}: {key.disabled_reason}" for key in refused[:2]]
    if resting:
        notes.insert(0, f"{len(resting)} resting")
    tone = "danger" if not active else "warning" if resting or refused else ""
    return Cell(f"{len(active)} of {len(keys)} in use", tone, "; ".join(notes))


def _balance(channel: Channel) -> Cell:
    """What the provider said last, and how long ago."""
    if not channel.balance_source:
        return NOTHING
    if channel.balance_nano is None or channel.balance_at is None:
        return Cell("not read yet")
    tone = "danger" if channel.balance_nano <= 0 else ""
    age = timesince(channel.balance_at, clock.now(), depth=1)
    return Cell(money.display(channel.balance_nano, channel.balance_currency), tone, f"{age} ago")


def _pauses(state: ChannelHealth) -> Cell:
    if not state.quotas:
        return Cell("none")
    return Cell("; ".join(f"{quota.model} until {_moment(quota.until)}" for quota in state.quotas), "warning")


def _counts(telling: AuthorisationEvidence | None) -> bool:
    return telling is not None and _state_of(telling) in (State.IN_FORCE, State.ENDING)


def _state_of(piece: AuthorisationEvidence) -> State:
    return state_of(piece, clock.today())


def _moment(at: datetime) -> str:
    """A moment of today by its time, any other with its day; UTC."""
    return f"{at:%H:%M:%S} UTC" if at.date() == clock.today() else f"{at:%d %b %H:%M} UTC"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
