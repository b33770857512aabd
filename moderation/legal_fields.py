"""What can be told to an authority, field by field: nothing else ever leaves. Each is what was asked for, and no more.

A field is read when the export is made, over the period that was asked for. None holds a prompt, an answer, a secret,
or who reported.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q, QuerySet

from accounts.models import APIKey, AuditEvent, Membership, Organisation
from moderation.models import Case, Decision, Evidence, Restriction

# Of one field; where there are more, its last entry says so.
ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Scope:
    """About whom, from when until before when, and of which case, if it is about one."""

    organisation: Organisation | None
    case: Case | None
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Field:
    """`read` gives plain JSON values."""

    label: str
    read: Callable[[Scope], Any]


def _organisation(scope: Scope) -> Any:
    found = scope.organisation
    return None if found is None else {"name": found.name, "number": found.pk}


def _members(scope: Scope) -> Any:
    rows = Membership.objects.filter(organisation=scope.organisation, created_at__lt=scope.ends_at)
    rows = rows.select_related("user").order_by("pk")
    return _told(
        rows,
        lambda row: {
            "name": row.user.name,
            "email": row.user.email,
            "role": row.role,
            "since": _moment(row.created_at),
        },
    )


def _api_keys(scope: Scope) -> Any:
    rows = APIKey.objects.filter(organisation=scope.organisation, created_at__lt=scope.ends_at)
    rows = rows.select_related("user").order_by("pk")
    return _told(rows, lambda row: {"hint": row.hint, "owner": row.user.email, "created_at": _moment(row.created_at)})


def _acts(scope: Scope) -> Any:
    """What its members did on the platform, with the address: never what staff did."""
    members = Membership.objects.filter(organisation=scope.organisation).values("user")
    rows = AuditEvent.objects.filter(organisation=scope.organisation, actor__in=members, **_within(scope, "at"))
    rows = rows.select_related("actor").order_by("at", "pk")
    return _told(
        rows,
        lambda row: {"at": _moment(row.at), "who": row.actor.email, "act": row.action, "address": row.address},
    )


def _case_rows(scope: Scope) -> QuerySet[Case]:
    if scope.case is not None:
        return Case.objects.filter(pk=scope.case.pk).select_related("category", "user", "api_key")
    rows = Case.objects.filter(organisation=scope.organisation, **_within(scope, "received_at"))
    # Sealed ones are told by a request that names them, and by nothing else.
    return rows.exclude(category__is_sealed=True).select_related("category", "user", "api_key").order_by("pk")


def _cases(scope: Scope) -> Any:
    return _told(
        _case_rows(scope),
        lambda row: {
            "reference": row.reference,
            "category": row.category.code,
            "level": row.level,
            "state": row.state,
            "received_at": _moment(row.received_at),
            "done_at": _moment(row.acted_at),
        },
    )


def _account(scope: Scope) -> Any:
    """Whose act the cases are about, as far as it is known."""
    return _told(
        _case_rows(scope),
        lambda row: {
            "reference": row.reference,
            "email": row.user.email if row.user else None,
            "api_key_hint": row.api_key.hint if row.api_key else None,
        },
    )


def _decisions(scope: Scope) -> Any:
    rows = Decision.objects.filter(case__in=_case_rows(scope).values("pk"), state=Decision.State.ISSUED)
    rows = rows.select_related("case", "category").order_by("pk")
    return _told(
        rows,
        lambda row: {
            "reference": row.reference,
            "case": row.case.reference,
            "finding": row.finding,
            "category": row.category.code,
            "level": row.level,
            "issued_at": _moment(row.issued_at),
        },
    )


def _restrictions(scope: Scope) -> Any:
    rows = Restriction.objects.filter(organisation=scope.organisation, starts_at__lt=scope.ends_at)
    for end in ("ends_at", "lifted_at"):
        rows = rows.filter(Q(**{end: None}) | Q(**{f"{end}__gt": scope.starts_at}))
    rows = rows.exclude(case__category__is_sealed=True).order_by("pk")
    return _told(
        rows,
        lambda row: {
            "scope": row.scope,
            "starts_at": _moment(row.starts_at),
            "ends_at": _moment(row.lifted_at or row.ends_at),
        },
    )


def evidence_of(scope: Scope) -> list[Evidence]:
    """The pieces of evidence that the field `evidence` tells of."""
    return list(_evidence_rows(scope)[:ROWS_MAX])


def _evidence_rows(scope: Scope) -> QuerySet[Evidence]:
    return Evidence.objects.filter(case__in=_case_rows(scope).values("pk")).select_related("case").order_by("pk")


def _evidence(scope: Scope) -> Any:
    return _told(
        _evidence_rows(scope),
        lambda row: {
            "case": row.case.reference,
            "sha256": bytes(row.digest).hex(),
            "bytes": row.size,
            "type": row.content_type or row.kind,
            "added_at": _moment(row.added_at),
            "ids": row.facts,
        },
    )


FIELDS: Mapping[str, Field] = {
    "organisation": Field("The organisation, by name and number", _organisation),
    "members": Field("Its members, with e-mail addresses and roles", _members),
    "api_keys": Field("Its API keys, by their hints", _api_keys),
    "acts": Field("What its members did on the platform, with addresses", _acts),
    "cases": Field("Cases, with category, level and moments", _cases),
    "account": Field("Whose account and key a case is about", _account),
    "decisions": Field("Decisions that were issued", _decisions),
    "restrictions": Field("Restrictions that were in force", _restrictions),
    "evidence": Field("Evidence: hashes and ids, never contents", _evidence),
}


def read(names: list[str], scope: Scope) -> dict[str, Any]:
    """Exactly the fields of these names. Raises KeyError for one that there is none of."""
    return {name: FIELDS[name].read(scope) for name in names}


def _told(rows: QuerySet[Any], tell: Callable[[Any], dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row as it is told; beyond ROWS_MAX a last entry that says so."""
    some = list(rows[: ROWS_MAX + 1])
    told = [tell(row) for row in some[:ROWS_MAX]]
    if len(some) > ROWS_MAX:
        told.append({"cut": f"There are more than {ROWS_MAX:,}. Ask for a shorter period, or for one case."})
    return told


def _within(scope: Scope, name: str) -> dict[str, datetime]:
    return {f"{name}__gte": scope.starts_at, f"{name}__lt": scope.ends_at}


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")
