"""The measures that can be taken in a case, as a choice; and the form of those that do not wait for a decision."""

from collections.abc import Iterator
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.admin.reasons import ReasonedForm
from accounts.models import APIKey, Membership, Project
from channels.models import Model
from moderation.enforcement import MEASURES, Step, measure_of
from moderation.models import Case, EnforcementAction
from moderation.services import restrictions
from moderation.services.interim import KINDS as INTERIM_KINDS

_Kind = EnforcementAction.Kind
# Of each sort of target, the newest are offered; the others by restricting them from their own page.
TARGETS_MAX = 200


def choices_of(case: Case, kinds: tuple[str, ...] = tuple(MEASURES)) -> list[tuple[str, Any]]:
    """The measures that can be taken in a case: by name, those aimed at something in groups."""
    plain: list[tuple[str, Any]] = [("", "–")]
    grouped: list[tuple[str, Any]] = []
    for kind in kinds:
        label = _Kind(kind).label
        targets = list(_targets(case, kind))
        if not targets:
            plain.append((f"{kind}:", label))
        else:
            grouped.append((label, [(f"{kind}:{target}", name) for target, name in targets]))
            if measure_of(kind).scope_of("") is not None and kind == _Kind.RATE:
                plain.append((f"{kind}:", label))
    return [*plain, *grouped]


def _targets(case: Case, kind: str) -> Iterator[tuple[str, str]]:
    organisation = case.organisation
    if organisation is None:
        return
    if kind == _Kind.SUSPEND_KEY:
        for key in APIKey.objects.filter(organisation=organisation).order_by("-pk")[:TARGETS_MAX]:
            yield str(key.pk), f"{key.name} ({key.hint})"
    elif kind in (_Kind.SUSPEND_MEMBER, _Kind.RATE):
        members = Membership.objects.filter(organisation=organisation).select_related("user").order_by("-pk")
        for member in members[:TARGETS_MAX]:
            yield str(member.user_id), str(member.user)
    elif kind == _Kind.SUSPEND_PROJECT:
        for project in Project.objects.filter(organisation=organisation).order_by("-pk")[:TARGETS_MAX]:
            yield str(project.pk), project.name
    elif kind == _Kind.MODEL:
        for name in Model.objects.order_by("name").values_list("name", flat=True)[:TARGETS_MAX]:
            yield name, name
    elif kind == _Kind.FEATURE:
        for feature in restrictions.FEATURES:
            yield feature, feature


class InterimForm(ReasonedForm):
    """Whom to suspend before there is a decision."""

    measure = forms.ChoiceField(label="Suspend", widget=UnfoldAdminSelectWidget)
    field_order = ("measure", "reason")

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["measure"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = choices_of(case, tuple(INTERIM_KINDS))[1:]
        whole = f"{_Kind.SUSPEND_ORGANISATION}:"
        field.initial = f"{_Kind.SUSPEND_MEMBER}:{case.user_id}" if case.user_id else whole

    def step(self) -> Step:
        """What was chosen."""
        kind, _, target = self.cleaned_data["measure"].partition(":")
        return Step(kind, target=target)
