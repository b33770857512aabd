"""How notices reach the organisation: language, time zone, and a webhook of its own."""

from zoneinfo import available_timezones

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.permissions import Right
from accounts.services import ways
from moderation.models import NoticeHook
from moderation.services import hooks
from newapi.portal.appeal_forms import NoticeSettingsForm
from newapi.portal.forms import reason_with
from newapi.portal.pages import page
from newapi.portal.seats import Seat, seated
from newapi.portal.throttle import throttled


@require_http_methods(["GET", "HEAD", "POST"])
@seated(Right.ANSWER_CASES)
@throttled("30/h", group="notice-settings")
@never_cache
def notice_settings(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Look, and change. The secret of a new webhook is in the answer to the change, and nowhere else."""
    own, hook = seat.organisation, _hook(seat)
    initial = {"language": own.language, "time_zone": own.time_zone, "url": hook.url if hook and hook.is_on else ""}
    form = NoticeSettingsForm(request.POST if request.method == "POST" else None, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            secret = _save(request, seat, form)
        except ValidationError as error:
            form.take_errors(error)
        else:
            if secret:
                return _show_secret(request, seat, secret)
            messages.success(request, "Saved. It holds for the next notice.")
            return redirect("portal:notice_settings", own.slug)
    context = {"form": form, "hook": hook, "zones": sorted(available_timezones())}
    return page(request, seat, "portal/notice_settings.html", "standing", context, status=400 if form.errors else 200)


@require_POST
@seated(Right.ANSWER_CASES)
@throttled("30/h", group="notice-settings")
@never_cache
def renew_secret(request: HttpRequest, seat: Seat) -> HttpResponse:
    """Another secret for the webhook, shown this once."""
    hook = _hook(seat)
    if hook is None:
        raise Http404("There is no webhook.")
    if "is_sure" not in request.POST:
        messages.error(request, "Nothing was changed: tick that the secret you have now is to end.")
        return redirect("portal:notice_settings", seat.organisation.slug)
    address = request.META.get("REMOTE_ADDR")
    secret = hooks.renew_secret(hook=hook, actor=seat.user, reason=reason_with("Renewed the secret"), address=address)
    return _show_secret(request, seat, secret)


def _hook(seat: Seat) -> NoticeHook | None:
    return NoticeHook.objects.filter(organisation=seat.organisation).first()


@transaction.atomic
def _save(request: HttpRequest, seat: Seat, form: NoticeSettingsForm) -> str:
    """All of it or nothing. Returns the secret of a new webhook. Raises ValidationError."""
    data, reason, address = form.cleaned_data, reason_with(""), request.META.get("REMOTE_ADDR")
    ways.set_ways(
        organisation=seat.organisation,
        language=data["language"],
        time_zone=data["time_zone"],
        actor=seat.user,
        reason=reason,
        address=address,
    )
    hook, secret = _hook(seat), ""
    if data["url"] and (hook is None or not hook.is_on or hook.url != data["url"]):
        _, secret = hooks.save(
            organisation=seat.organisation, url=data["url"], actor=seat.user, reason=reason, address=address
        )
    elif not data["url"] and hook is not None and hook.is_on:
        hooks.switch_off(hook=hook, actor=seat.user, reason=reason, address=address)
    return secret


def _show_secret(request: HttpRequest, seat: Seat, secret: str) -> HttpResponse:
    return page(request, seat, "portal/notice_secret.html", "standing", {"secret": secret})
