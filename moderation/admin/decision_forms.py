"""What deciding needs to be told: the finding, its grounds, and up to three measures of the ladder."""

import json
from collections.abc import Iterator
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from unfold.widgets import UnfoldAdminSelectMultipleWidget, UnfoldAdminSelectWidget

from accounts.admin.fields import picker, style
from accounts.admin.reasons import ReasonedForm
from moderation.admin.case_forms import SeenForm
from moderation.admin.measure_forms import choices_of
from moderation.enforcement import MEASURES, Step, measure_of
from moderation.models import Case, Decision, Demand, EnforcementAction, PolicyCategory
from moderation.services import demands, ladder
from moderation.services.demands import Asked
from moderation.services.proposals import FACTS_MAX, Proposal

_Kind = EnforcementAction.Kind
ROWS = 3
_IS_VIOLATION = "finding === 'violation'"


def _shown_when(name: str) -> str:
    """When the page shows a field: of a violation, and a number beside a measure only where the measure takes one."""
    part, _, row = name.rpartition("_")
    takes = {"days": "takes_days", "rate": "takes_rate"}.get(part)
    if takes is None:
        return _IS_VIOLATION
    kinds = json.dumps([str(kind) for kind, measure in MEASURES.items() if getattr(measure, takes)])
    return f"{_IS_VIOLATION} && {kinds}.includes(measure_{row}.split(':')[0])"


class ProposeForm(SeenForm):
    """A decision as somebody proposes it."""

    watched = ("finding", *(f"measure_{row}" for row in range(ROWS)))

    finding = forms.ChoiceField(
        label="Finding",
        choices=Decision.Finding.choices,
        initial=Decision.Finding.VIOLATION,
        widget=UnfoldAdminSelectWidget(attrs={"x-model": "finding"}),
    )
    category = picker(Decision._meta.get_field("category"), label="Policy category")
    further = forms.ModelMultipleChoiceField(
        PolicyCategory.objects.none(),
        label="Also cited",
        required=False,
        widget=UnfoldAdminSelectMultipleWidget,
        help_text="Further codes of the policy. However many: one strike, of the worst.",
    )
    facts = forms.CharField(
        label="Facts and their grounds",
        widget=forms.Textarea,
        max_length=FACTS_MAX,
        help_text="The organisation reads this. Never name, nor quote, whoever reported.",
    )
    private_reasoning = forms.CharField(
        label="For colleagues", required=False, widget=forms.Textarea, max_length=FACTS_MAX, help_text="Kept for good."
    )
    deviation_reason = forms.CharField(
        label="Why not as recommended",
        required=False,
        max_length=500,
        help_text="Needed when other measures are taken.",
    )
    no_notice = forms.ChoiceField(
        label="No notice before it takes effect",
        required=False,
        choices=[("", "The organisation hears of it first"), *Decision.NoNotice.choices],
    )
    no_notice_reason = forms.CharField(label="Because", required=False, max_length=500)
    remedy = forms.ChoiceField(
        label="Ask for",
        required=False,
        choices=[("", "Nothing"), *((kind, Demand.Kind(kind).label) for kind in demands.REMEDIES)],
    )
    remedy_text = forms.CharField(label="What exactly", required=False, widget=forms.Textarea)
    remedy_days = forms.IntegerField(
        label="Within days", required=False, min_value=1, max_value=demands.DAYS_MAX, initial=7
    )
    is_automated = forms.BooleanField(
        label="Automated means took part in finding it", required=False, help_text="The notice says so."
    )

    def __init__(self, *args: Any, case: Case, **kwargs: Any) -> None:
        super().__init__(*args, case=case, **kwargs)
        del self.fields["reason"]
        self.case = case
        further = self.fields["further"]
        assert isinstance(further, forms.ModelMultipleChoiceField)
        further.queryset = PolicyCategory.objects.in_force()
        offered = choices_of(case)
        recommended = ladder.recommend(case)
        for row in range(ROWS):
            step = recommended[row] if row < len(recommended) else None
            self._add_row(row, offered, step)
        for name in self.fields:
            if name not in ("finding", "category", "facts", "private_reasoning", "is_automated", "expected_version"):
                self.show(name, when=_shown_when(name))
        first = [f"{part}_{row}" for row in range(ROWS) for part in ("measure", "days", "rate")]
        self.order_fields(["finding", "category", "further", "facts", *first, "deviation_reason"])

    def _add_row(self, row: int, offered: list[tuple[str, Any]], step: Step | None) -> None:
        number = row + 1
        initial = f"{step.kind}:{step.target}" if step else ""
        fields = {
            f"measure_{row}": forms.ChoiceField(
                label=f"Measure {number}",
                required=False,
                choices=offered,
                initial=initial,
                widget=UnfoldAdminSelectWidget(attrs={"x-model": f"measure_{row}"}),
            ),
            f"days_{row}": forms.IntegerField(
                label=f"For days ({number})",
                required=False,
                min_value=1,
                initial=step.days if step else None,
                help_text="Empty: for good, or until lifted.",
            ),
            f"rate_{row}": forms.IntegerField(
                label=f"Calls a minute ({number})",
                required=False,
                min_value=1,
                initial=step.rate_per_minute if step else None,
                help_text="So many still pass.",
            ),
        }
        for name, field in fields.items():
            style(field)
            self.fields[name] = field

    def clean(self) -> dict[str, Any]:
        """What is hidden for a case where nothing was found does not count."""
        data = super().clean() or {}
        if data.get("remedy") and not data.get("remedy_text", "").strip():
            self.add_error("remedy_text", "Say what is asked.")
        return data

    def proposal(self) -> Proposal:
        """What was filled in. Raises ValidationError for a measure without its days or rate."""
        data = self.cleaned_data
        if data["finding"] == Decision.Finding.NO_VIOLATION:
            return Proposal(
                finding=data["finding"],
                category=data["category"],
                facts=data["facts"],
                private_reasoning=data["private_reasoning"],
                is_automated=data["is_automated"],
            )
        asked = [Asked(data["remedy"], data["remedy_text"], data["remedy_days"] or 7)] if data["remedy"] else []
        return Proposal(
            finding=data["finding"],
            category=data["category"],
            further=tuple(data["further"]),
            facts=data["facts"],
            private_reasoning=data["private_reasoning"],
            steps=tuple(self._steps()),
            demands=tuple(asked),
            deviation_reason=data["deviation_reason"],
            no_notice=data["no_notice"],
            no_notice_reason=data["no_notice_reason"],
            is_automated=data["is_automated"],
        )

    def _steps(self) -> Iterator[Step]:
        data = self.cleaned_data
        for row in range(ROWS):
            kind, _, target = data[f"measure_{row}"].partition(":")
            if not kind:
                continue
            measure = measure_of(kind)
            # A number beside a measure that takes none was left over from another.
            rate = data[f"rate_{row}"] if measure.takes_rate else None
            if measure.takes_rate and rate is None:
                raise ValidationError({f"rate_{row}": "Say how many calls a minute still pass."})
            days = data[f"days_{row}"] if measure.takes_days else None
            yield Step(kind, target=target, rate_per_minute=rate, days=days)


def seen_mark(decision: Decision | None) -> str:
    """Which decision somebody looks at, and where it stood then."""
    return f"{decision.pk} {decision.state}" if decision else ""


class SeenDecisionForm(ReasonedForm):
    """An act on the decision as the person has seen it: its mark comes back with the answer."""

    seen = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, decision: Decision | None, **kwargs: Any) -> None:
        super().__init__(*args, initial={"seen": seen_mark(decision)}, **kwargs)
