"""What people see of a price besides its fields: its rates, what calls cost, and what a new one would change."""

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Model as AnyModel
from django.http import HttpRequest
from django.urls import reverse

from accounts.admin import pages, panels
from billing.admin.price_forms import PublishForm
from billing.models import PriceVersion
from billing.price_examples import examples
from billing.price_lines import Line, lines_of
from billing.services import prices
from newapi.kernel import clock

# What a preview names of all that gets dearer.
DEARER_MAX = 12


def context_of(form: PublishForm) -> dict[str, Any]:
    """What calls would cost, and what gets dearer and so needs notice. Complaints go back into the form."""
    try:
        draft = form.draft()
    except ValidationError as error:
        pages.put_errors(form, error)
        return {}
    return {
        "examples": examples(draft),
        "dearer": prices.named(prices.dearer(draft), most=DEARER_MAX),
        "replaced": prices.replaced_by(draft),
        "notice_ends": prices.notice_ends(clock.now()),
        "starts": draft.effective_from,
    }


@panels.on(PriceVersion)
def what_it_charges(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """Every rate, and the way to the next version."""
    assert isinstance(obj, PriceVersion)
    links: tuple[panels.Link, ...] = ()
    if request.user.has_perm("billing.add_priceversion"):
        url = reverse("admin:billing_priceversion_add")
        links = (panels.Link("Publish the next version", f"{url}?like={obj.pk}"),)
    lines = tuple((line.words, f"{line.amount} {_per(line)}") for line in lines_of(obj))
    return panels.Panel(title="What it charges", lines=lines, links=links)


def _per(line: Line) -> str:
    return "per 1,000,000 tokens" if line.is_by_tokens else ""


@panels.on(PriceVersion)
def example_costs(request: HttpRequest, obj: AnyModel) -> panels.Panel | None:
    """What the usual calls cost at this price."""
    assert isinstance(obj, PriceVersion)
    if obj.is_withdrawn:
        return None
    return panels.Panel(title="For example", lines=tuple((example.call, example.cost) for example in examples(obj)))
