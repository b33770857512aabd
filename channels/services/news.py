"""News about dates: each step before an end is told once; a missed one is skipped in favour of the nearest."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from django.db import transaction

from accounts.models import Notice, Organisation
from accounts.services import notices

# Days before an end at which people are told; 0 is the end itself.
STEPS_DAYS = (0, 1, 7, 30)
# How many rows of a kind a run looks at, and how many it reads at once.
ROWS_MAX = 5_000
BATCH = 1_000


@dataclass(frozen=True, slots=True)
class News:
    """Something to tell once, to the operators or to an organisation's owners and admins."""

    once: str
    kind: str
    title: str
    body: str
    link: str
    level: Notice.Level
    organisation: Organisation | None = None


@transaction.atomic
def tell(news: News) -> bool:
    """Post a notice. False when it was told before."""
    return notices.post(
        once=news.once,
        kind=news.kind,
        title=news.title,
        body=news.body,
        link=news.link,
        level=news.level,
        audience=Notice.Audience.MANAGERS if news.organisation else Notice.Audience.OPERATORS,
        organisation=news.organisation,
    )


def untold(news: Iterator[News]) -> Iterator[News]:
    """What no notice has told yet."""
    while batch := list(islice(news, BATCH)):
        told = set(Notice.objects.filter(once__in=[one.once for one in batch]).values_list("once", flat=True))
        yield from (one for one in batch if one.once not in told)


def step_of(left_days: int) -> int | None:
    """The nearest step that was reached: with 3 days left it is 7. None: it is too early to speak."""
    return next((step for step in STEPS_DAYS if left_days <= step), None)


def level_of(step: int) -> Notice.Level:
    """How urgent a step is."""
    return Notice.Level.DANGER if step <= 1 else Notice.Level.WARNING
