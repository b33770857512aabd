"""How decisions, measures, demands and appeals are put to the organisation that they are about.

Never who reported, and never who decided.
"""

from dataclasses import dataclass
from datetime import datetime

from moderation.models import Appeal, Decision, Demand, EnforcementAction
from moderation.services import notice_values
from newapi.kernel import clock

_ACTION = EnforcementAction.State
# Words for what became of a measure, as the organisation reads them, and their tone.
_MEASURE = {
    _ACTION.PLANNED: ("not yet in force", "warn"),
    _ACTION.IN_FORCE: ("in force", "bad"),
    _ACTION.LIFTED: ("ended", ""),
    _ACTION.DROPPED: ("dropped", ""),
}
_ADVICE = (EnforcementAction.Kind.EDUCATION, EnforcementAction.Kind.WARNING)
_APPEAL_TONES: dict[str, str] = {
    Appeal.State.UPHELD: "bad",
    Appeal.State.OVERTURNED: "good",
    Appeal.State.MODIFIED: "good",
    Appeal.State.WITHDRAWN: "",
    Appeal.State.REJECTED_LATE: "bad",
}


@dataclass(frozen=True, slots=True)
class MeasureRow:
    """A measure in words. `until`: None when it has no end."""

    kind: str
    state: str
    tone: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class DemandRow:
    """A demand, and what it asks as the organisation may read it."""

    demand: Demand
    text: str


def appeal_tone(appeal: Appeal | None) -> str:
    """The tone of the badge that says how an appeal stands."""
    return _APPEAL_TONES.get(appeal.state, "warn") if appeal else ""


def demand_row(demand: Demand) -> DemandRow:
    """A demand without what could name a reporter."""
    return DemandRow(demand, notice_values.as_read(demand.text, demand.organisation))


def reasons_of(appeal: Appeal | None) -> str:
    """The reasons of an outcome, likewise."""
    return notice_values.as_read(appeal.outcome_reason, appeal.decision.case.organisation) if appeal else ""


def measures_of(decision: Decision) -> list[MeasureRow]:
    """What a decision imposed, in words, by the clock."""
    return [_measure(action) for action in decision.actions.all()]


def _measure(action: EnforcementAction) -> MeasureRow:
    words, tone = _MEASURE[_ACTION(action.state)]
    if action.state == _ACTION.IN_FORCE and action.ends_at and action.ends_at <= clock.now():
        words, tone = _MEASURE[_ACTION.LIFTED]
    if action.kind in _ADVICE and tone:
        words, tone = "given", ""
    if action.state == _ACTION.PLANNED and action.ended_at:
        words, tone = "standing still while the appeal is decided", "warn"
    until = action.ends_at if action.state == _ACTION.IN_FORCE else None
    return MeasureRow(kind=action.get_kind_display(), state=words, tone=tone, until=until)
