"""What the models cost, for everybody to read (BIL-23)."""

from urllib.parse import urlencode

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from newapi.kernel import clock
from newapi.portal import rate_files
from newapi.portal import rates as price_list
from newapi.portal.typed import bare

PER_PAGE = 100
TEXT_LENGTH_MAX = 100


@require_safe
def rates(request: HttpRequest) -> HttpResponse:
    """`/rates`: a page of prices, perhaps narrowed to a currency or a name."""
    currencies = price_list.currencies()
    asked = request.GET.get("currency", "")
    currency = asked if asked in currencies else ""
    text = bare(request.GET.get("q", ""), length_max=TEXT_LENGTH_MAX)
    page = Paginator(price_list.rates(currency=currency, text=text), PER_PAGE).get_page(request.GET.get("page"))
    narrowed = {name: value for name, value in (("currency", currency), ("q", text)) if value}
    context = {
        "page": page,
        "currencies": currencies,
        "currency": currency,
        "text": text,
        "keep": urlencode(narrowed) + "&" if narrowed else "",
        "now": clock.now(),
    }
    return render(request, "portal/rates.html", context)


@require_safe
def as_json(request: HttpRequest) -> HttpResponse:
    """`/rates.json`: all of them."""
    return JsonResponse(rate_files.as_json(price_list.rates()), json_dumps_params={"ensure_ascii": False})


@require_safe
def as_csv(request: HttpRequest) -> HttpResponse:
    """`/rates.csv`: all of them."""
    response = HttpResponse(rate_files.as_csv(price_list.rates()), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="rates-{clock.today():%Y-%m-%d}.csv"'
    return response
