"""What asking for a re-rating needs to be told, and what it would come to, in words."""

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from accounts.admin import pages
from accounts.admin.fields import picker
from accounts.admin.reasons import ReasonedForm
from billing.models import Rerating
from billing.services import rerating
from billing.services.rerating import Estimate
from newapi.kernel import money

# Named in a preview; the rest is in the sum.
NAMED_MAX = 20


class AskForm(ReasonedForm):
    """Which calls, and which price they should have had."""

    wrong_price = picker(
        Rerating._meta.get_field("wrong_price"), label="Wrong price", help_text="What the calls were charged at."
    )
    right_price = picker(
        Rerating._meta.get_field("right_price"),
        label="Right price",
        help_text="What they should have been charged at: another version of the same model and currency. It need not "
        "have been in force then; publish it first.",
    )
    organisation = picker(
        Rerating._meta.get_field("organisation"), label="Organisation", required=False, help_text="Empty: all."
    )
    since = forms.SplitDateTimeField(label="Calls from", help_text="In UTC.")
    until = forms.SplitDateTimeField(label="Until before", help_text="In UTC; at least an hour ago.")

    def order(self) -> dict[str, Any]:
        """The arguments of rerating.draft."""
        return {name: value for name, value in self.cleaned_data.items() if name != "reason"}


def previewed(form: AskForm) -> list[tuple[str, str]]:
    """What is asked for would come to so much; a complaint goes into the form."""
    try:
        of = rerating.draft(**form.order())
    except ValidationError as error:
        pages.put_errors(form, error)
        return []
    return lines_of(rerating.estimate(of), of.wrong_price.currency)


def lines_of(told: Estimate, currency: str) -> list[tuple[str, str]]:
    """An estimate, the largest differences first."""
    more = "" if told.is_whole else ", of the first part of the span; the rest is not in this preview"
    seen = "1 call was" if told.seen == 1 else f"{told.seen:,} calls were"
    lines = [(f"{seen} charged at the wrong price{more}", _signed(told.nano, currency))]
    sums = sorted(told.sums.items(), key=lambda pair: -abs(pair[1][1]))
    lines += [
        (f"{organisation}: {calls:,} call{'' if calls == 1 else 's'}", _signed(nano, currency))
        for organisation, (calls, nano) in sums[:NAMED_MAX]
    ]
    if rest := len(sums[NAMED_MAX:]):
        lines.append((f"and {rest} more organisation{'' if rest == 1 else 's'}", ""))
    return lines


def _signed(nano: int, currency: str) -> str:
    if not nano:
        return "no difference"
    amount = money.display(abs(nano), currency)
    return f"{amount} given back" if nano < 0 else f"{amount} charged in addition"
