"""Numbers as people read them. Rounding is for the eye only; the exact figures are in the database."""

from datetime import datetime

from django import template
from django.utils import timezone

from billing.models import UsageEvent
from newapi.kernel import money as kernel_money

register = template.Library()

_SCALES = ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K"))


@register.filter
def money(nano: int | None, currency: str) -> str:
    """Nano-units as `1,234.50 USD`; a dash for none."""
    return "–" if nano is None else kernel_money.display(nano, currency)


@register.filter
def cost(nano: int, currency: str) -> str:
    """What one call cost, with four decimals, so that calls line up below each other; more for the tiniest."""
    return kernel_money.display(nano, currency, decimals=4)


@register.filter
def amount(nano: int | None) -> str:
    """Nano-units without the currency: `1,234.50`."""
    return "–" if nano is None else kernel_money.display(nano, "").rstrip()


@register.filter
def compact(count: int | None) -> str:
    """A count in at most four digits: 950, 12.3K, 4.56M."""
    if count is None:
        return "–"
    for scale, letter in _SCALES:
        # What would round up to a thousand belongs to the next letter.
        if abs(count) >= scale * 0.9995:
            units = count / scale
            return f"{units:.{2 if abs(units) < 9.995 else 1 if abs(units) < 99.95 else 0}f}{letter}"
    return str(count)


@register.filter
def duration(ms: int | float | None) -> str:
    """Milliseconds as `840 ms`, `3.2 s` or `2 min 5 s`."""
    if ms is None:
        return "–"
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    minutes, rest = divmod(round(ms / 1000), 60)
    return f"{minutes} min {rest} s"


@register.filter
def percent(part: float | None) -> str:
    """A share between 0 and 1 as `12.3 %`; what is above nothing or below all never reads as that."""
    if part is None:
        return "–"
    if 0 < part < 0.001:
        return "< 0.1 %"
    if 0.999 < part < 1:
        return "> 99.9 %"
    return "100 %" if part >= 1 else f"{part * 100:.1f} %"


@register.filter
def moment(at: datetime | None) -> str:
    """A point in time, in UTC, to the minute."""
    return "–" if at is None else f"{timezone.localtime(at):%-d %b %Y, %H:%M} UTC"


@register.filter
def initial(name: object) -> str:
    """The first letter of a name, for its avatar."""
    return (str(name).strip()[:1] or "?").upper()


@register.filter
def tokens_in(call: UsageEvent) -> int:
    """All tokens that went in: fresh, cached, written to the cache."""
    return call.input_tokens + call.cached_input_tokens + call.cache_write_tokens


@register.filter
def tokens_out(call: UsageEvent) -> int:
    """All tokens that came out, with those of reasoning."""
    return call.output_tokens + call.reasoning_tokens


@register.filter
def tokens_all(call: UsageEvent) -> int:
    """All tokens of a call."""
    return tokens_in(call) + tokens_out(call)
