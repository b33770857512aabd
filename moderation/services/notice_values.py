"""What stands in the placeholders of notices: each kind's values, in the words of whoever is told."""

import re

from django.conf import settings
from django.urls import reverse

from accounts.models import Organisation, User
from accounts.services.notice_mail import origin
from moderation.models import Appeal, Case, Decision, Demand, EnforcementAction, Report, SlaClock
from moderation.notice_words import DEFAULT, Words
from moderation.services import appeal_window
from moderation.services.notice_measures import measures
from newapi.kernel import clock

Values = dict[str, str]
# In any script. From the start of a word, so that a long text without an address is looked at once.
_EMAIL = re.compile(r"(?<![\w.%+'-])[\w.%+'-]+@(?:[\w-]+(?:\.[\w-]+)+|localhost)")


def words_for(organisation: Organisation | None, language: str = "") -> Words:
    """How somebody is spoken to: an organisation in its language and time zone, a reporter in that of the report."""
    spoken = language or (organisation.language if organisation else "") or DEFAULT
    return Words(spoken, appeal_window.zone_of(organisation))


def common(case: Case, words: Words) -> Values:
    """What every text may name. `portal_link` leads to the standing of the organisation."""
    organisation = case.organisation
    return {
        "site_name": settings.SITE_NAME,
        "abuse_contact": settings.ABUSE_CONTACT,
        "organisation": organisation.name if organisation else "",
        "case": case.reference,
        "portal_link": absolute(reverse("portal:standing", args=[organisation.slug])) if organisation else "",
        "date": words.day(clock.now().astimezone(words.zone).date()),
    }


def of_decision(decision: Decision, words: Words) -> Values:
    """Everything that NOT-05 asks for."""
    organisation = decision.case.organisation
    text = decision.policy_text
    actions = list(decision.actions.all())
    return {
        "decision": decision.reference,
        "finding": words.say(f"finding.{decision.finding}"),
        "facts": discreet(decision.facts, organisation, words),
        "policy_code": decision.category.code,
        "policy_name": decision.category.name,
        "policy_version": words.say(
            "policy_version", version=text.version, day=words.day(text.starts_at.astimezone(words.zone).date())
        ) if text else "",
        "policy_text": text.text if text else "",
        "further_policies": ", ".join(str(category) for category in decision.further_categories.all()),
        "measures": measures(actions, words),
        "demands": "\n".join(_demand_line(demand, words) for demand in decision.demands.order_by("pk")),
        "strikes": "\n".join(_strikes(decision, words)),
        "replaces": words.say("replaces", decision=decision.overrides.reference) if decision.overrides else "",
        "automated": words.say("automated.yes" if decision.is_automated else "automated.no"),
        "appeal_link": absolute(appeal_window.link(decision)),
        "appeal_deadline": words.end_of_day(appeal_window.would_end(organisation)),
        "effect_time": words.say("effect_time", moment=words.moment(clock.now())),
    }  # fmt: skip


def of_interim(action: EnforcementAction, words: Words) -> Values:
    """What is suspended before there is a decision, and when that lapses. Nothing of what the suspicion rests on."""
    ends = words.say("lapse.at", moment=words.moment(action.ends_at)) if action.ends_at else words.say("lapse.open")
    return {
        "policy_code": action.case.category.code,
        "policy_name": action.case.category.name,
        "measures": measures([action], words),
        "lapse": ends,
    }


def of_lifted(action: EnforcementAction, words: Words) -> Values:
    """What has ended, when, and why by its kind. What a colleague gave as reason is for the record, not for others."""
    found_nothing = action.case.state == Case.State.NO_VIOLATION
    return {
        "measures": measures([action], words),
        "lifted_at": words.moment(action.ended_at or clock.now()),
        "reason": words.say("lifted.no_violation" if found_nothing else "lifted.early"),
    }


def of_demand(demand: Demand, words: Words) -> Values:
    """What is asked and by when: the very moment that is stored (NOT-06)."""
    return {
        "demand": demand.reference,
        "demand_kind": words.say(f"demand.{demand.kind}"),
        "request": discreet(demand.text, demand.organisation, words),
        "due": words.moment(demand.due_at),
        "trace_ids": "\n".join(demand.trace_ids),
        "scope": demand.scope,
    }


def of_appeal_received(appeal: Appeal, words: Words) -> Values:
    """That it came in, and by when we mean to have answered."""
    promised = SlaClock.objects.filter(appeal=appeal, kind=SlaClock.Kind.RESOLUTION, stopped_at=None).first()
    return {
        "appeal": appeal.reference,
        "decision": appeal.decision.reference,
        "received_at": words.moment(appeal.submitted_at),
        "answer_by": words.say("answer_by", moment=words.moment(promised.due_at)) if promised else "",
        "appeal_link": absolute(appeal_window.link(appeal.decision)),
    }


def of_appeal_outcome(appeal: Appeal, words: Words) -> Values:
    """What became of it, why, what holds now, and whether whoever decided it had had a part before (MOD-28)."""
    last = Decision.objects.filter(overrides=appeal.decision).first() or appeal.decision
    is_lifted = appeal.state == Appeal.State.OVERTURNED
    reasons = appeal.outcome_reason
    if appeal.state == Appeal.State.REJECTED_LATE:
        until = words.end_of_day(appeal.deadline_at)
        reasons = words.say("late", received=words.moment(appeal.submitted_at), deadline=until)
    return {
        "appeal": appeal.reference,
        "decision": appeal.decision.reference,
        "outcome": words.say(f"outcome.{appeal.state}"),
        "reasons": discreet(reasons, appeal.decision.case.organisation, words),
        "measures": words.say("measures.lifted") if is_lifted else measures(list(last.actions.all()), words),
        "independence": words.say(f"independence.{_independence(appeal)}"),
        "appeal_link": absolute(appeal_window.link(appeal.decision)),
    }


def of_report_received(report: Report, words: Words) -> Values:
    """That it came in, under which number."""
    return {"report": report.reference, "received_at": words.moment(report.received_at)}


def of_report_outcome(report: Report, words: Words) -> Values:
    """The class of what came of it: nothing about whom, and no reason."""
    said = words.say(f"report.{report.outcome}") if report.outcome != Report.Outcome.OPEN else ""
    return {"report": report.reference, "outcome": said}


def discreet(text: str, organisation: Organisation | None, words: Words) -> str:
    """A text typed by a colleague, without e-mail addresses but our own and the organisation's.

    One may be a reporter's, quoted from the report; who reported is never told (MOD-09).
    """
    named = {_address(found) for found in _EMAIL.findall(text)}
    if not named:
        return text.strip()
    ours = {settings.ABUSE_CONTACT.lower()}
    members = User.objects.filter(memberships__organisation=organisation, email__in=named)
    known = ours | set(members.values_list("email", flat=True))
    hidden = words.say("withheld")
    return _EMAIL.sub(lambda found: found[0] if _address(found[0]) in known else hidden, text).strip()


def as_read(text: str, organisation: Organisation | None) -> str:
    """The same for the pages of an organisation."""
    return discreet(text, organisation, words_for(organisation)) if _EMAIL.search(text) else text.strip()


def absolute(path: str) -> str:
    """A path of this site as it is written in a mail; as it is where the deployment names no address."""
    return f"{origin()}{path}"


def _address(found: str) -> str:
    """As it is kept; a quotation mark before it is no part of it."""
    return found.lower().lstrip("'")


def _independence(appeal: Appeal) -> str:
    if appeal.state in (Appeal.State.WITHDRAWN, Appeal.State.REJECTED_LATE):
        return "nobody"
    return "exception" if appeal.is_exception else "yes"


def _demand_line(demand: Demand, words: Words) -> str:
    kind, due = words.say(f"demand.{demand.kind}"), words.moment(demand.due_at)
    return words.say("demand.line", reference=demand.reference, kind=kind, due=due)


def _strikes(decision: Decision, words: Words) -> list[str]:
    """The points that it leaves. A member's that also count to the organisation are said once."""
    lines = []
    for strike in decision.strikes.filter(voided_at=None, points__gt=0).order_by("pk"):
        points = words.say("strikes.one") if strike.points == 1 else words.say("strikes.many", points=strike.points)
        ends = strike.expires_at
        lines.append(words.say("strikes.line", points=points, end=words.moment(ends)) if ends
                     else words.say("strikes.for_good", points=points))  # fmt: skip
    return list(dict.fromkeys(lines))
