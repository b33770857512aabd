"""Who may do what. Sealed cases are seen by explicit grant only: being superuser is not enough."""

from django.contrib.auth.models import Permission
from django.db.models import Q

from accounts.models import User
from moderation.models import Case

OPEN = "moderation.add_case"
VIEW = "moderation.view_case"
VIEW_SEALED = "moderation.view_sealed_case"
TRIAGE = "moderation.triage_case"
REVIEW = "moderation.review_case"
ASSIGN = "moderation.assign_case"
DECIDE_MINOR = "moderation.decide_case"
DECIDE_SEVERE = "moderation.decide_severe_case"
DECIDE_CRITICAL = "moderation.decide_critical_case"
DOWNGRADE = "moderation.downgrade_case"

REQUEST_APPROVAL = "moderation.add_approval"
DECIDE_APPROVAL = "moderation.change_approval"
ADD_BLOCK = "moderation.add_blockentry"
WITHDRAW_BLOCK = "moderation.change_blockentry"


def may(user: User, *permissions: str) -> bool:
    """Whether an active person has any of the permissions. A superuser has them all."""
    return any(user.has_perm(permission) for permission in permissions)


def is_granted(user: User, permission: str) -> bool:
    """Whether an active person was given a permission, in person or through a group."""
    if not user.is_active:
        return False
    app, _, codename = permission.partition(".")
    granted = Permission.objects.filter(content_type__app_label=app, codename=codename)
    return granted.filter(Q(user=user) | Q(group__user=user)).exists()


def may_see(user: User, case: Case) -> bool:
    """Whether a person may know what is in a case."""
    return is_granted(user, VIEW_SEALED) if case.category.is_sealed else may(user, VIEW)
