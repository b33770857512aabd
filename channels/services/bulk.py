"""Changing many channels at once: the ticked fields only, checked one by one, all or none."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import models, transaction
from django.db.models import QuerySet
from django.db.models.functions import Cast

from accounts.models import User
from accounts.services import audit
from channels.models import Channel, validators
from channels.services import evidence

CHANNELS_MAX = 200
# What may be set for many at once. Tags are added and removed by name, not replaced.
FIELDS = (
    "status",
    "priority",
    "weight",
    "connect_timeout_ms",
    "first_byte_timeout_ms",
    "idle_timeout_ms",
    "total_timeout_ms",
    "breaker_failures_max",
    "breaker_error_percent",
    "breaker_open_s",
    "probe_every_minutes",
    "price_groups_allowed",
)


_UNTOUCHED = {field.name for field in Channel._meta.fields} - {*FIELDS, "tags"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What would become of a channel: field → [before, after]; empty when it is like that already."""

    channel: Channel
    changes: dict[str, list[Any]]


def tags_in_use() -> Counter[str]:
    """Each tag, and how many channels have it."""
    return Counter(tag for tags in Channel.objects.values_list("tags", flat=True) for tag in tags)


def with_tag(channels: QuerySet[Channel], tag: str) -> QuerySet[Channel]:
    """The channels that have a tag. One that no channel could have finds nothing."""
    try:
        validators.validate_tags([tag])
    except ValidationError:
        return channels.none()
    # SQLite has no lookup into JSON lists; a tag holds nothing that JSON would write in another way.
    return channels.alias(tags_text=Cast("tags", models.TextField())).filter(tags_text__contains=f'"{tag}"')


def plan(
    *,
    channels: Collection[Channel],
    fields: Mapping[str, Any],
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
) -> list[Plan]:
    """What `change` would do, without doing it. The channels are left with the new values. Raises ValidationError."""
    _check_asked(channels, fields, added := list(add_tags), removed := list(remove_tags))
    plans, complaints = [], []
    for channel in channels:
        before = {name: getattr(channel, name) for name in (*FIELDS, "tags")}
        for name, value in fields.items():
            setattr(channel, name, value)
        kept = [tag for tag in channel.tags if tag not in removed]
        channel.tags = kept + [tag for tag in added if tag not in kept]
        try:
            # Only what may have changed: a host that does not resolve any more must not keep a channel from being
            # drained, and looking up its name, account and host takes time for each channel.
            channel.clean_fields(exclude=_UNTOUCHED)
            if before["status"] != channel.status:
                evidence.check_may_enable(channel)
        except ValidationError as error:
            complaints += [f"{channel}: {complaint}" for complaint in _in_words(error)]
        changed = {name: [old, getattr(channel, name)] for name, old in before.items() if getattr(channel, name) != old}
        plans.append(Plan(channel, changed))
    if complaints:
        raise ValidationError(complaints)
    return plans


@transaction.atomic
def change(
    *,
    channels: Collection[Channel],
    fields: Mapping[str, Any],
    add_tags: Iterable[str] = (),
    remove_tags: Iterable[str] = (),
    actor: User | None,
    reason: str,
    address: str | None = None,
) -> list[Plan]:
    """Set some of FIELDS, add tags and remove tags, for at most CHANNELS_MAX channels; all of them or none.

    Returns what was changed, without the channels that were like that already. Each has an audit row of its own.
    Enabling needs evidence in force (CHN-01). Raises ValidationError, which names the channels.
    """
    ids = [channel.pk for channel in channels]
    current = Channel.objects.select_for_update().filter(pk__in=ids).order_by("pk")
    done = [
        one
        for one in plan(channels=list(current), fields=fields, add_tags=add_tags, remove_tags=remove_tags)
        if one.changes
    ]
    for one in done:
        one.channel.save(update_fields=list(one.changes))
        audit.record(
            actor=actor,
            action="channel.change",
            target=one.channel,
            reason=reason,
            changes={name: [readable(before), readable(after)] for name, (before, after) in one.changes.items()},
            address=address,
        )
    return done


def title(field: str) -> str:
    """A field as people call it."""
    column: Any = Channel._meta.get_field(field)
    return str(column.verbose_name)


def readable(value: Any) -> Any:
    """A value as the audit record and pages show it."""
    return ", ".join(value) if isinstance(value, list) else value


def _check_asked(
    channels: Collection[Channel], fields: Mapping[str, Any], added: list[str], removed: list[str]
) -> None:
    if not channels:
        raise ValidationError("Choose at least one channel.")
    if len(channels) > CHANNELS_MAX:
        raise ValidationError(f"At most {CHANNELS_MAX} channels at once; these are {len(channels)}.")
    if unknown := sorted(set(fields) - set(FIELDS)):
        raise ValidationError(f"Not to be changed for many at once: {', '.join(unknown)}.")
    if not (fields or added or removed):
        raise ValidationError("Nothing is chosen to be changed.")
    if both := sorted(set(added) & set(removed)):
        raise ValidationError(f"Added and removed at the same time: {', '.join(both)}.")
    validators.validate_tags(added)


def _in_words(error: ValidationError) -> list[str]:
    if not hasattr(error, "error_dict"):
        return error.messages
    return [
        complaint if name == NON_FIELD_ERRORS else f"{title(name)}: {complaint}"
        for name, complaints in error.message_dict.items()
        for complaint in complaints
    ]
