"""Redeeming a code, and what was redeemed."""

from django.contrib import messages
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts.permissions import Right
from billing.models import Redemption
from billing.services import codes
from newapi.kernel import money
from newapi.portal import redeem as rules
from newapi.portal.pages import page
from newapi.portal.redeem import RedeemForm
from newapi.portal.seats import Seat, seated
from newapi.templatetags.portal import moment

ROWS_A_PAGE = 50
BUSY_RETRY_S = 1


@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("code")
@seated(Right.REDEEM_CODES)
def redeem(request: HttpRequest, seat: Seat) -> HttpResponse:
    """The field and the list; sent, the credit, or why there is none."""
    if request.method != "POST":
        return _page(request, seat, RedeemForm())
    form = RedeemForm(request.POST)
    if not form.is_valid():
        return _page(request, seat, form, status=400)
    with rules.alone(seat) as is_alone:
        if not is_alone:
            busy = "Your last code is still being looked at. Look below in a moment, before you send it again."
            return _later(request, seat, wait_s=BUSY_RETRY_S, refusal=busy)
        if wait_s := rules.wait_s(request, seat):
            return _too_often(request, seat, wait_s)
        return _tried(request, seat, form)


@sensitive_variables("form")
def _tried(request: HttpRequest, seat: Seat, form: RedeemForm) -> HttpResponse:
    """Mistyped is 400, refused is 403, both counted; a wallet that takes nothing is 400 and is nobody's guess.

    The same form once more is answered as it was the first time.
    """
    try:
        redemption = codes.redeem(
            raw=form.cleaned_data["code"],
            organisation=seat.organisation,
            user=seat.user,
            address=request.META.get("REMOTE_ADDR"),
        )
    except codes.CodeMistyped as error:
        form.add_error("code", error)
        return _wrong(request, seat, form, status=400)
    except codes.CodeRefused as error:
        before = rules.sent_again(seat, form.cleaned_data["code"])
        if before is None:
            # What was typed may well be somebody's code, so it is not sent back.
            return _wrong(request, seat, RedeemForm(), status=403, refusal=error.messages[0])
        redemption = before
    except ValidationError as error:
        return _page(request, seat, RedeemForm(), status=400, refusal=error.messages[0])
    messages.success(request, _said(redemption))
    return redirect("portal:redeem", seat.organisation.slug)


@sensitive_variables("form")
def _wrong(request: HttpRequest, seat: Seat, form: RedeemForm, *, status: int, refusal: str = "") -> HttpResponse:
    if wait_s := rules.note_wrong(request, seat):
        return _too_often(request, seat, wait_s)
    return _page(request, seat, form, status=status, refusal=refusal)


def _too_often(request: HttpRequest, seat: Seat, wait_s: int) -> HttpResponse:
    """Whose tries they were, is not said: the person's, the organisation's, the address's or everybody's."""
    words = rules.wait_words(wait_s)
    refusal = f"Wrong codes were tried too often. Try again in {words}; until then no code is looked at."
    return _later(request, seat, wait_s=wait_s, refusal=refusal)


def _later(request: HttpRequest, seat: Seat, *, wait_s: int, refusal: str) -> HttpResponse:
    response = _page(request, seat, RedeemForm(), status=429, refusal=refusal)
    response["Retry-After"] = str(wait_s)
    return response


@sensitive_variables("form")
def _page(request: HttpRequest, seat: Seat, form: RedeemForm, *, status: int = 200, refusal: str = "") -> HttpResponse:
    pages = Paginator(rules.redemptions_of(seat), ROWS_A_PAGE).get_page(request.GET.get("page"))
    context = {"form": form, "refusal": refusal, "pages": pages, "shows_all": seat.may(Right.SEE_MOVEMENTS)}
    return page(request, seat, "portal/redeem.html", "redeem", context, status=status)


def _said(redemption: Redemption) -> str:
    """What came in, and until when it can be spent."""
    grant = redemption.grant
    amount = money.display(grant.amount_nano, redemption.batch.currency)
    until = "for as long as you like" if grant.expires_at is None else f"until {moment(grant.expires_at)}"
    return f"{amount} credited for the code {redemption.code}. The next call can spend it; it lasts {until}."
