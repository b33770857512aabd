"""What is not allowed here, by code: where refusals of calls point to, for everybody to read (GW-38)."""

from itertools import groupby

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from moderation.models import PolicyCategory
from moderation.models.policy import Level
from moderation.services.approval_rules import can_be_approved


@require_safe
def policy(request: HttpRequest) -> HttpResponse:
    """`/policy`: the categories in force, worst first, each with an anchor of its code."""
    categories = PolicyCategory.objects.in_force().order_by("level", "code")
    levels = [
        (Level(level), [(category, can_be_approved(category)) for category in found])
        for level, found in groupby(categories, key=lambda category: category.level)
    ]
    return render(request, "portal/policy.html", {"levels": levels})
