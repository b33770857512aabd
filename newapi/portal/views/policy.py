"""What is not allowed here, by code: where refusals of calls point to, for everybody to read (GW-38, MOD-01)."""

from dataclasses import dataclass
from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from moderation.models import PolicyCategory, PolicyText
from moderation.models.policy import Level
from moderation.services import policy as policies
from moderation.services.approval_rules import approvable
from newapi.kernel import clock


@dataclass(frozen=True, slots=True)
class Row:
    """A category with the text that is in force."""

    category: PolicyCategory
    text: PolicyText | None
    can_be_approved: bool


@require_safe
def policy(request: HttpRequest) -> HttpResponse:
    """`/policy`: the categories in force, worst first, each with an anchor of its code; `?language=de` for texts."""
    spoken = _languages()
    asked = request.GET.get("language", "")
    language = asked if asked in spoken else policies.FALLBACK_LANGUAGE
    texts = policies.texts_in_force(language)
    open_ones = {category.pk for category in approvable()}
    categories = PolicyCategory.objects.in_force().order_by("level", "code")
    levels = [
        (Level(level), [Row(category, texts.get(category.pk), category.pk in open_ones) for category in found])
        for level, found in groupby(categories, key=lambda category: category.level)
    ]
    context = {
        "levels": levels,
        "languages": spoken,
        "language": language,
        "appeal_days": policies.appeal_days(),
    }
    return render(request, "portal/policy.html", context)


def _languages() -> list[str]:
    """In which there are texts by now, English first."""
    begun = PolicyText.objects.filter(starts_at__lte=clock.now()).order_by("language")
    spoken = set(begun.values_list("language", flat=True).distinct())
    return sorted(spoken, key=lambda code: (code != policies.FALLBACK_LANGUAGE, code))
