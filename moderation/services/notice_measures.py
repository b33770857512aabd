"""Measures as notices tell of them: what each is, what it concerns, what it means and how long it holds."""

from collections.abc import Iterable

from accounts.models import APIKey, Project, User
from moderation.enforcement import measure_of
from moderation.models import EnforcementAction, Restriction
from moderation.notice_words import Words
from newapi.kernel import clock

_State, _Scope = EnforcementAction.State, Restriction.Scope
_WORDLESS = (EnforcementAction.Kind.EDUCATION, EnforcementAction.Kind.WARNING, EnforcementAction.Kind.CONTENT_REMOVAL)


def measures(actions: Iterable[EnforcementAction], words: Words) -> str:
    """Each measure with what it concerns, what it means and how long it holds; or that there is none."""
    return "\n\n".join(_measure(action, words) for action in actions) or words.say("measures.none")


def _measure(action: EnforcementAction, words: Words) -> str:
    return words.say(
        "measure",
        kind=words.say(f"kind.{action.kind}"),
        scope=_scope(action, words),
        effect=words.say(f"effect.{action.kind}", rate=action.rate_per_minute),
        duration=_duration(action, words),
    )


def _scope(action: EnforcementAction, words: Words) -> str:
    """What it is aimed at, by name."""
    scope = measure_of(action.kind).scope_of(action.target) or _Scope.ORGANISATION
    organisation = action.case.organisation
    found: object = None
    if scope == _Scope.ORGANISATION:
        found = organisation
    elif scope == _Scope.PROJECT:
        found = (
            Project.objects.filter(organisation=organisation, pk=action.target).values_list("name", flat=True).first()
        )
    elif scope == _Scope.API_KEY:
        key = APIKey.objects.filter(organisation=organisation, pk=action.target).first()
        found = f"{key.name} ({key.hint})" if key else None
    elif scope == _Scope.MEMBER:
        person = User.objects.filter(memberships__organisation=organisation, pk=action.target).first()
        found = person.get_full_name() if person else None
    else:
        found = action.target
    return words.say(f"scope.{scope}", name=found) if found else words.say("scope.gone", target=action.target)


def _duration(action: EnforcementAction, words: Words) -> str:
    if action.kind in _WORDLESS:
        return words.say("duration.none")
    if action.state in (_State.LIFTED, _State.DROPPED) and action.ended_at:
        return words.say("duration.over", end=words.moment(action.ended_at))
    end = words.say("end.open")
    if action.ends_at:
        end = words.say("end.until", end=words.moment(action.ends_at))
    elif action.days:
        end = words.say("end.day") if action.days == 1 else words.say("end.days", days=action.days)
    if action.state == _State.IN_FORCE and action.starts_at:
        return words.say("duration.in_force", start=words.moment(action.starts_at), end=end)
    if action.starts_at and action.starts_at > clock.now():
        return words.say("duration.planned_at", start=words.moment(action.starts_at), end=end)
    return words.say("duration.planned", end=end)
