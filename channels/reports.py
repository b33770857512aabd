"""The compliance report: by what right, under which terms and for which purpose each channel is used (CHN-12)."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date

from django.core.exceptions import ValidationError
from django.db.models import Count, Prefetch, Q

from channels import governance
from channels.models import AuthorisationEvidence, Channel, Route, UpstreamTerms
from newapi.kernel import clock, spreadsheets

# More channels than this are no register any more; the report says so instead of leaving some out.
ROWS_MAX = 10_000

Row = dict[str, str]


def compliance_rows() -> Iterator[Row]:
    """One row a channel, disabled ones too, by name; every value as text. Five queries, however many channels.

    Of several pieces of evidence the most telling is shown: one in force before one that waits or has ended.
    Raises ValidationError with more than ROWS_MAX channels.
    """
    today = clock.today()
    pieces = AuthorisationEvidence.objects.select_related("submitted_by", "approved_by")
    channels = (
        Channel.objects.select_related("account__provider")
        .prefetch_related(Prefetch("evidence", queryset=pieces))
        .annotate(active_keys=Count("keys", filter=Q(keys__is_active=True)))
        .order_by("name")
    )
    found = list(channels[: ROWS_MAX + 1])
    if len(found) > ROWS_MAX:
        raise ValidationError(f"There are more than {ROWS_MAX:,} channels.")
    terms = {review.provider_id: review for review in governance.newest_reviews()}
    retirements = _retirements()
    for channel in found:
        yield {
            **_what(channel),
            **_right(governance.most_telling(channel.evidence.all(), today), today),
            **_terms(terms.get(channel.account.provider_id), today),
            **_care(channel),
            "models retiring": "; ".join(retirements[channel.pk]),
        }


def to_csv(rows: Iterable[Row]) -> str:
    """The rows as CSV with a header; nothing in it is a formula to a spreadsheet."""
    text = io.StringIO()
    writer: csv.DictWriter | None = None
    for row in rows:
        if writer is None:
            writer = csv.DictWriter(text, fieldnames=list(row))
            writer.writeheader()
        writer.writerow({name: spreadsheets.cell(value) for name, value in row.items()})
    return text.getvalue()


def _what(channel: Channel) -> Row:
    return {
        "channel": channel.name,
        "status": channel.get_status_display(),
        "provider": channel.account.provider.name,
        "account": channel.account.name,
        "legal owner of the account": channel.account.legal_owner,
        "third party": _yes(channel.is_third_party),
        "test channel": _yes(channel.is_test),
    }


def _right(piece: AuthorisationEvidence | None, today: date) -> Row:
    if piece is None:
        names = (
            "kind",
            "legal owner",
            "document",
            "SHA-256",
            "valid from",
            "valid until",
            "submitted by",
            "approved by",
        )
        return {"evidence": "None", **{f"evidence: {name}": "" for name in names}}
    return {
        "evidence": governance.in_words(piece, today),
        "evidence: kind": piece.get_kind_display(),
        "evidence: legal owner": piece.legal_owner,
        "evidence: document": piece.document_name,
        "evidence: SHA-256": piece.document_sha256,
        "evidence: valid from": piece.valid_from.isoformat(),
        "evidence: valid until": piece.valid_until.isoformat() if piece.valid_until else "no end",
        "evidence: submitted by": str(piece.submitted_by) if piece.submitted_by else "the platform",
        "evidence: approved by": str(piece.approved_by) if piece.approved_by else "",
    }


def _terms(review: UpstreamTerms | None, today: date) -> Row:
    if review is None:
        return {"terms": "", "terms: reviewed on": "", "terms: review overdue": "never reviewed", "terms: say": ""}
    return {
        "terms": review.version,
        "terms: reviewed on": review.reviewed_at.isoformat(),
        "terms: review overdue": _yes(review.reviewed_at < governance.overdue_before(today)),
        "terms: say": "; ".join(governance.findings(review)),
    }


def _care(channel: Channel) -> Row:
    return {
        "pool purpose": channel.get_pool_purpose_display(),
        "pool justification": channel.pool_justification,
        "active keys": str(channel.active_keys),  # type: ignore[attr-defined]
        "export classification": channel.export_classification,
        "allowed destinations": " ".join(channel.countries_allowed) or "everywhere",
        "upstream safety filtering": channel.get_safety_filtering_display(),
    }


def _retirements() -> dict[int, list[str]]:
    """Channel id → its models with a date of retirement, by date."""
    found: dict[int, list[str]] = defaultdict(list)
    routes = Route.objects.filter(is_active=True, model__retires_at__isnull=False).order_by("model__retires_at", "pk")
    for channel_id, name, at in routes.values_list("channel_id", "model__name", "model__retires_at"):
        found[channel_id].append(f"{name} on {at:%Y-%m-%d}")
    return found


def _yes(value: bool) -> str:
    return "yes" if value else "no"
