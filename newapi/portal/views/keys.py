"""API keys: see, make, limit, revoke. Every write goes through accounts.services.api_keys, which leaves the record."""

import uuid

from django.contrib import messages
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from accounts.models import APIKey
from accounts.permissions import Right, keys_visible_to, may_change_key
from accounts.services import api_keys
from billing import headroom
from newapi.portal import key_list, snippets
from newapi.portal.forms import KeyForm, NewKeyForm, reason_with
from newapi.portal.offer import Offer, offers_to
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled

KEYS_A_PAGE = 50
# How long a form that was sent is remembered; sending it again within that time makes no second key.
ONCE_S = 24 * 3600


@require_safe
@seated(Right.SEE_USAGE)
def keys(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The keys that the member may see; those that no longer work on demand."""
    show_ended = request.GET.get("ended") == "1"
    visible = keys_visible_to(seat.membership).select_related("project", "user", "organisation")
    chosen = visible if show_ended else key_list.working(visible)
    pages = Paginator(chosen.order_by("-created_at", "-pk"), KEYS_A_PAGE)
    current = pages.get_page(request.GET.get("page"))
    context = {
        "rows": key_list.rows(list(current)),
        "pages": current,
        "show_ended": show_ended,
        "has_any": bool(pages.count) or visible.exists(),
    }
    return page(request, seat, "portal/keys.html", "keys", context)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.CREATE_KEYS)
@throttled("20/h", group="key-create")
@never_cache
def create(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The form for a new key; sent, the page that shows the key once."""
    offers = offers_to(seat.organisation)
    form = NewKeyForm(
        request.POST or None, organisation=seat.organisation, model_names=[offer.model.name for offer in offers]
    )
    if request.method == "POST" and form.is_valid():
        if not _claim(seat, form.cleaned_data["once"]):
            messages.warning(request, "This form was sent before, so no second key was made. A key is shown only once.")
            return redirect("portal:keys", seat.organisation.slug)
        made = _make(request, seat, form)
        if made is not None:
            return _shown_once(request, seat, made, offers)
        _release(seat, form.cleaned_data["once"])
    context = {"form": form, "once": form.data.get("once") or uuid.uuid4(), "has_models": bool(offers)}
    return page(request, seat, "portal/key_new.html", "keys", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.SEE_USAGE)
@throttled("60/h", group="key-change")
def key(request: HttpRequest, seat: Seat, key_id: int) -> HttpResponse:
    """One key: what it may do, what it spent; its limits as a form for those who may change them."""
    api_key = _visible(seat, key_id)
    may_change = may_change_key(seat.membership, api_key) and api_key.revoked_at is None
    if request.method == "POST" and not may_change:
        raise PermissionDenied("This key is not yours to change, or it is revoked.")
    offers = offers_to(seat.organisation)
    form = KeyForm(
        request.POST or None,
        organisation=seat.organisation,
        model_names=[offer.model.name for offer in offers],
        api_key=api_key,
    )
    if request.method == "POST" and form.is_valid() and _changed(request, seat, api_key, form):
        messages.success(request, f"“{api_key.name}” was changed. The next call obeys.")
        return redirect("portal:key", seat.organisation.slug, api_key.pk)
    context = {
        "row": key_list.rows([_visible(seat, key_id)])[0],
        "form": form,
        "may_change": may_change,
        "room": headroom.of_key(api_key),
        "base_url": snippets.base_url(request),
    }
    return page(request, seat, "portal/key.html", "keys", context, status=400 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.SEE_USAGE)
def revoke(request: HttpRequest, seat: Seat, key_id: int) -> HttpResponse:
    """Ask whether it is meant, then end the key for good."""
    api_key = _visible(seat, key_id)
    if not may_change_key(seat.membership, api_key):
        raise PermissionDenied("This key is not yours to revoke.")
    if request.method == "POST":
        ended = api_keys.revoke(
            api_key=api_key,
            actor=seat.user,
            reason=reason_with(request.POST.get("note", "")),
            address=request.META.get("REMOTE_ADDR"),
        )
        said = "is revoked. The next call with it is refused." if ended else "was revoked before."
        messages.success(request, f"“{api_key.name}” {said}")
        return redirect("portal:keys", seat.organisation.slug)
    return page(request, seat, "portal/key_revoke.html", "keys", {"row": key_list.rows([api_key])[0]})


def _visible(seat: Seat, key_id: int) -> APIKey:
    """A key that the member may see. Raises Http404 for every other one, as if it did not exist."""
    found = keys_visible_to(seat.membership).select_related("project", "user", "organisation").filter(pk=key_id).first()
    if found is None:
        raise Http404("There is no such key for you.")
    return found


@sensitive_variables("made")
def _make(request: HttpRequest, seat: Seat, form: NewKeyForm) -> api_keys.NewKey | None:
    try:
        values = form.values()
        made = api_keys.create(
            project=values["project"],
            user=seat.user,
            name=values["name"],
            models_allowed=values["models_allowed"],
            addresses_allowed=values["addresses_allowed"],
            expires_at=values["expires_at"],
            limits=form.limits(),
            is_test=form.cleaned_data["is_test"],
            actor=seat.user,
            reason=form.reason(),
            address=request.META.get("REMOTE_ADDR"),
        )
    except ValidationError as error:
        form.take_errors(error)
        return None
    return made


def _changed(request: HttpRequest, seat: Seat, api_key: APIKey, form: KeyForm) -> bool:
    try:
        api_keys.change(
            api_key=api_key,
            fields={**form.values(), **form.limits()},
            actor=seat.user,
            reason=form.reason(),
            address=request.META.get("REMOTE_ADDR"),
        )
    except ValidationError as error:
        form.take_errors(error)
        return False
    return True


@sensitive_variables("made", "lines")
def _shown_once(request: HttpRequest, seat: Seat, made: api_keys.NewKey, offers: list[Offer]) -> HttpResponse:
    """The only page that ever has the raw key. It is the answer to the POST itself, so it rests nowhere."""
    allowed = made.api_key.models_allowed
    usable = [offer.model for offer in offers if not allowed or offer.model.name in allowed]
    chats = [model for model in usable if model.kind == model.Kind.CHAT]
    model = next(iter(chats or usable), None)
    lines = snippets.first_call(base=snippets.base_url(request), api_key=made.raw, model=model)
    context = {"api_key": made.api_key, "raw": made.raw, "snippets": lines, "has_models": bool(usable)}
    return page(request, seat, "portal/key_created.html", "keys", context)


def _once_name(seat: Seat, once: uuid.UUID) -> str:
    return f"portal:key-form:{seat.user.pk}:{once}"


def _claim(seat: Seat, once: uuid.UUID) -> bool:
    """Whether this form is sent for the first time."""
    return cache.add(_once_name(seat, once), 1, ONCE_S)


def _release(seat: Seat, once: uuid.UUID) -> None:
    cache.delete(_once_name(seat, once))
