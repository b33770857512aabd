"""By what right a channel is used and what a provider's terms ask of us, on their pages."""

from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import panels
from accounts.admin.pages import list_url, object_url
from channels.governance import State, findings, in_words, most_telling, newest_reviews, overdue_before, state_of
from channels.models import AuthorisationEvidence, Channel, Provider, UpstreamTerms
from newapi.kernel import clock

ROWS_MAX = 5


@panels.on(Channel)
def right_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """A channel's evidence, what is missing, and the way to hand it in."""
    assert isinstance(obj, Channel)
    if not request.user.has_perm("channels.view_authorisationevidence"):
        return None
    today = clock.today()
    pieces = list(obj.evidence.order_by("-submitted_at")[: 4 * ROWS_MAX])
    telling = most_telling(pieces, today)
    state = State.WITHDRAWN if telling is None else state_of(telling, today)
    note, tone = _NOTES[state]
    shown = sorted(pieces, key=lambda piece: piece != telling)[:ROWS_MAX]
    lines = tuple((in_words(piece, today), f"{piece.get_kind_display()}, {piece.document_name}") for piece in shown)
    if state not in (State.IN_FORCE, State.ENDING) and settings.CHANNEL_EVIDENCE_REQUIRED:
        lines = (("No call goes here, because", _GAPS.get(state, "nobody has handed in evidence.")), *lines)
    links = [
        panels.Link("All its evidence", list_url(AuthorisationEvidence, channel__id__exact=obj.pk), "verified_user")
    ]
    if telling is not None and state is State.WAITING:
        links.insert(0, panels.Link("Look at what waits", object_url(telling), "verified_user"))
    if request.user.has_perm("channels.add_authorisationevidence"):
        url = reverse("admin:channels_authorisationevidence_add")
        links.insert(0, panels.Link("Hand in evidence", f"{url}?{urlencode({'channel': obj.pk})}", "add"))
    return panels.Panel(title="Authorisation", note=note, tone=tone, lines=lines, links=tuple(links))


# Note and tone by the state of the most telling evidence; withdrawn stands for none at all.
_NOTES = {
    State.IN_FORCE: ("in force", "success"),
    State.ENDING: ("ends soon", "warning"),
    State.TO_COME: ("not yet in force", "warning"),
    State.WAITING: ("waits for approval", "warning"),
    State.ENDED: ("has ended", "danger"),
    State.WITHDRAWN: ("missing", "danger"),
}
_GAPS = {
    State.TO_COME: "its evidence has not begun yet.",
    State.WAITING: "its evidence waits for somebody else’s approval.",
    State.ENDED: "its evidence has ended.",
}


@panels.on(Provider)
def terms_of(request: HttpRequest, obj: Model) -> panels.Panel | None:
    """The review that counts of a provider's terms."""
    assert isinstance(obj, Provider)
    if not request.user.has_perm("channels.view_upstreamterms"):
        return None
    review = next(iter(newest_reviews([obj.pk])), None)
    links = []
    if request.user.has_perm("channels.add_upstreamterms"):
        url = reverse("admin:channels_upstreamterms_add")
        links.append(
            panels.Link("Record a review", f"{url}?{urlencode({'provider': obj.pk, 'url': obj.terms_url})}", "add")
        )
    links.append(panels.Link("All reviews", list_url(UpstreamTerms, provider__id__exact=obj.pk), "contract"))
    if review is None:
        lines = (("Reviewed", "never: what they ask of us is not known."),)
        return panels.Panel(title="Terms", note="never reviewed", tone="warning", lines=lines, links=tuple(links))
    is_overdue = review.reviewed_at < overdue_before(clock.today())
    return panels.Panel(
        title="Terms",
        note="review overdue" if is_overdue else "reviewed",
        tone="danger" if is_overdue else "success",
        lines=(
            ("Version", review.version),
            (
                "Reviewed on",
                f"{review.reviewed_at:%d %b %Y}" + (f" by {review.reviewed_by}" if review.reviewed_by else ""),
            ),
            ("What they ask of us", "; ".join(findings(review)) or "nothing special"),
        ),
        links=tuple(links),
    )
