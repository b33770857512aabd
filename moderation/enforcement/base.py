"""What every measure has: whether it fits, what it does when it begins, and what undoes it."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from django.core.exceptions import ValidationError

from accounts.models import Organisation, User
from moderation.models import EnforcementAction, Restriction
from moderation.models.policy import Level
from moderation.services import restrictions
from newapi.kernel import clock

DAYS_MAX = 3_650
REASON_MAX = 500
_RATE = Restriction._meta.get_field("rate_per_minute")


@dataclass(frozen=True, slots=True)
class Step:
    """A measure as somebody proposes it. target: as a restriction's; days: None means for good, or until lifted."""

    kind: str
    target: str = ""
    rate_per_minute: int | None = None
    days: int | None = None

    @property
    def label(self) -> str:
        """Its kind in words."""
        return EnforcementAction.Kind(self.kind).label


class Measure:
    """One kind of measure. `begin` and `end` are called inside the transaction of what decides it."""

    kind: ClassVar[EnforcementAction.Kind]
    # What it restricts at the gateway; None: nothing.
    scope: ClassVar[Restriction.Scope | None] = None
    takes_rate: ClassVar[bool] = False
    takes_days: ClassVar[bool] = False
    # Always for a second person, whoever decides.
    is_held: ClassVar[bool] = False
    # The organisation hears of it before it begins, unless a coded exception says why not.
    needs_prior_notice: ClassVar[bool] = False
    # The mildest level for which it may be taken, and the mildest at a first act.
    mildest: ClassVar[Level] = Level.L4
    mildest_at_first: ClassVar[Level] = Level.L4

    def scope_of(self, target: str) -> Restriction.Scope | None:
        """What it restricts at the gateway when it is aimed at a target."""
        return self.scope

    def check(self, step: Step, organisation: Organisation | None) -> None:
        """Raises ValidationError for what this measure does not take, or what the organisation does not have."""
        if bool(step.target) != (self.scope_of(step.target) not in (None, Restriction.Scope.ORGANISATION)):
            raise ValidationError(
                f"{self.kind.label}: name what it is aimed at, and only where it is aimed at something."
            )
        if (step.rate_per_minute is not None) != self.takes_rate:
            raise ValidationError(f"{self.kind.label}: a rate is for limiting the rate only, and needed there.")
        if step.days is not None and not (self.takes_days and 1 <= step.days <= DAYS_MAX):
            raise ValidationError(f"{self.kind.label}: it takes no end, or one within {DAYS_MAX:,} days.")
        if step.rate_per_minute is not None:
            _RATE.run_validators(step.rate_per_minute)
        scope = self.scope_of(step.target)
        if scope is not None and organisation is not None:
            restrictions.check_target(organisation, scope, step.target)

    def begin(self, action: EnforcementAction, *, actor: User | None, reason: str) -> None:
        """Let it take effect now: the gateway obeys at the next call. An end that is set already stands."""
        now = clock.now()
        action.starts_at = action.starts_at or now
        if action.days and action.ends_at is None:
            action.ends_at = now + timedelta(days=action.days)
        organisation, scope = action.case.organisation, self.scope_of(action.target)
        if scope is not None and organisation is not None:
            action.restriction = restrictions.impose(
                organisation=organisation,
                scope=scope,
                target=action.target,
                case=action.case,
                # What an appeal is answered with may be longer; all of it is in the story of the case.
                reason=reason[:REASON_MAX],
                ends_at=action.ends_at,
                rate_per_minute=action.rate_per_minute,
                resumes=action.restriction is not None,
                actor=actor,
            )

    def end(self, action: EnforcementAction, *, actor: User | None, reason: str) -> None:
        """Undo what it did. Other measures stay."""
        if action.restriction is not None:
            restrictions.lift(restriction=action.restriction, actor=actor, reason=reason)
