"""Telling people in time that a budget is being used up: at the percentages they chose, once in each window.

Candidates are the holders that something was posted for lately. Their meters say quickly who is far from every
percentage; before anybody is told, the books are asked, because a meter also counts what is only held for
calls that run and is mostly given back.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse

from accounts import meters
from accounts.models import APIKey, Limits, Membership, Notice, Organisation, Project, User
from accounts.services import notices
from billing import headroom
from billing.models import Rollup15m
from billing.selectors import Spender, spent_nano
from channels.models import ModelLimit
from newapi.kernel import clock, money
from newapi.kernel.meters import windows
from newapi.kernel.meters.windows import Window

KIND = "budget.alert"
# Two quarters of an hour: what was posted a moment before a quarter ended is still seen by the runs after it.
RECENT = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class Budget:
    """A budget that is watched. `user` is told besides those who see to the organisation's money."""

    words: str
    scope: str
    limits: Limits
    organisation: Organisation
    spender: Spender
    spender_id: int
    link: str
    user: User | None = None


def watch(*, limit: int = 2000) -> int:
    """Look at up to so many budgets of each kind that were lately spent from. Returns how many notices were told.

    Where there are more, each run looks at others of them. Raises Redis' errors: while it is away nothing is spent.
    """
    return sum(_look(budget) for kind in KINDS for budget in kind(limit))


def _look(budget: Budget) -> bool:
    nano = budget.limits.budget_nano
    assert nano is not None
    start_ms, end_ms = windows.bounds(Window(budget.limits.budget_window), clock.now_ms())
    percents = budget.limits.budget_alert_percents
    seen = _reached(_metered_nano(budget), nano, percents)
    if seen is None or Notice.objects.filter(once=_once(budget, start_ms, seen)).exists():
        return False
    spent = _posted_nano(budget, start_ms)
    percent = _reached(spent, nano, percents)
    if percent is None:
        return False
    return notices.post(
        once=_once(budget, start_ms, percent),
        kind=KIND,
        level=Notice.Level.DANGER if percent >= 100 else Notice.Level.WARNING,
        title=f"{percent} % of the budget of {budget.words} is used",
        body=_body(budget, spent, end_ms),
        link=budget.link,
        audience=Notice.Audience.BILLING,
        organisation=budget.organisation,
        user=budget.user,
    )


def _reached(spent_nano: int, budget_nano: int, percents: list[int]) -> int | None:
    """The highest of the percentages that is reached, or None. Pure.

    To the nearest whole percent: a budget of which too little is left for any call is never spent to the last nano.
    A budget of nothing is not used up by the free calls that it lets pass.
    """
    if not budget_nano:
        return None
    spent = money.divide_half_even(spent_nano * 100, budget_nano)
    return max((percent for percent in percents if spent >= percent), default=None)


def _metered_nano(budget: Budget) -> int:
    """What the budget's meter counts. Raises Redis' errors."""
    organisation_id = budget.organisation.pk
    every = meters.meters_of(organisation_id, budget.scope, budget.limits)
    meter = next(one for one in every if one.kind == "n")
    return headroom.used_of(organisation_id, meter, spender=budget.spender, spender_id=budget.spender_id)


def _posted_nano(budget: Budget, since_ms: int) -> int:
    return spent_nano(
        organisation_id=budget.organisation.pk,
        spender=budget.spender,
        spender_id=budget.spender_id,
        since_ms=since_ms,
    )


def _once(budget: Budget, start_ms: int, percent: int) -> str:
    """The same news: of one budget, window, amount and percentage."""
    window, nano = budget.limits.budget_window, budget.limits.budget_nano
    return f"budget:{budget.organisation.pk}:{budget.scope}:{window}:{start_ms}:{nano}:{percent}"


def _body(budget: Budget, spent: int, end_ms: int) -> str:
    currency, nano = budget.organisation.currency, budget.limits.budget_nano
    assert nano
    share = money.divide_half_even(spent * 100, nano)
    window = Limits.BudgetWindow(budget.limits.budget_window).label
    renews = f"The window ends on {clock.from_ms(end_ms):%-d %B %Y at %H:%M} UTC." if end_ms else "It has no end."
    return (
        f"{money.display(spent, currency)} of {money.display(nano, currency)} {window} are spent ({share} %). {renews} "
        "A call that may cost more than is left is refused with 402 until the window ends or the budget is raised."
    )


def _spent_lately(organisation: str, **columns: str) -> Exists:
    """Whether something was posted for a row lately; `columns` maps the rollup's columns to the row's."""
    since: datetime = clock.now() - RECENT
    wanted = {column: OuterRef(own) for column, own in columns.items()}
    return Exists(Rollup15m.objects.filter(organisation=OuterRef(organisation), bucket__gte=since, **wanted))


def _watched(rows: QuerySet, lately: Exists, limit: int) -> Iterator:
    wanted = rows.filter(lately, budget_nano__isnull=False).exclude(budget_alert_percents=[])
    # In any order, so that with more than the limit each has its turn.
    return wanted.order_by("?")[:limit].iterator()


def _organisations(limit: int) -> Iterator[Budget]:
    for found in _watched(Organisation.objects.all(), _spent_lately("pk"), limit):
        link = reverse("portal:usage", args=[found.slug])
        yield Budget(found.name, meters.ORGANISATION, found, found, Spender.ORGANISATION, found.pk, link)


def _projects(limit: int) -> Iterator[Budget]:
    rows = Project.objects.select_related("organisation")
    for found in _watched(rows, _spent_lately("organisation", project="pk"), limit):
        link = reverse("portal:usage", args=[found.organisation.slug])
        scope = meters.project_scope(found.pk)
        words = f"the project “{found.name}”"
        yield Budget(words, scope, found, found.organisation, Spender.PROJECT, found.pk, link)


def _members(limit: int) -> Iterator[Budget]:
    rows = Membership.objects.select_related("organisation", "user")
    for found in _watched(rows, _spent_lately("organisation", user="user"), limit):
        link = reverse("portal:usage", args=[found.organisation.slug])
        scope, words = meters.member_scope(found.user_id), f"all keys of {found.user.get_full_name()}"
        yield Budget(words, scope, found, found.organisation, Spender.MEMBER, found.user_id, link, found.user)


def _keys(limit: int) -> Iterator[Budget]:
    rows = APIKey.objects.select_related("organisation", "user")
    for found in _watched(rows, _spent_lately("organisation", api_key="pk"), limit):
        link = reverse("portal:key", args=[found.organisation.slug, found.pk])
        scope, words = meters.key_scope(found.pk), f"the key “{found.name}”"
        yield Budget(words, scope, found, found.organisation, Spender.API_KEY, found.pk, link, found.user)


def _models(limit: int) -> Iterator[Budget]:
    rows = ModelLimit.objects.select_related("organisation", "model")
    for found in _watched(rows, _spent_lately("organisation", model="model"), limit):
        link = reverse("portal:usage", args=[found.organisation.slug])
        scope, words = meters.model_scope(found.model_id), f"the model {found.model.name}"
        yield Budget(words, scope, found, found.organisation, Spender.MODEL, found.model_id, link)


KINDS = (_organisations, _projects, _members, _keys, _models)
