"""Who may do what. Sealed cases are seen by explicit grant only: being superuser is not enough."""

from django.contrib.auth.models import Permission
from django.db.models import Q

from accounts.models import User
from moderation.models import Case, DutyShift

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
APPROVE = "moderation.approve_decision"
OVERRIDE_LADDER = "moderation.override_ladder"
REOPEN = "moderation.reopen_case"
REVIEW_APPEAL = "moderation.review_appeal"
ADMIT_APPEAL = "moderation.admit_appeal"
VIEW_REPORTER = "moderation.view_reporter"
HANDLE_LEGAL = "moderation.handle_legal"
APPROVE_LEGAL = "moderation.approve_legal"
VERIFY_CHAIN = "moderation.verify_chain"
MANAGE_DUTY = "moderation.manage_duty"
PURGE_EVIDENCE = "moderation.delete_evidence"
ASK_DATA_ACCESS = "moderation.add_dataaccessgrant"
APPROVE_DATA_ACCESS = "moderation.change_dataaccessgrant"
READ_CAPTURED = "moderation.view_capturedcall"

SWITCH_PACK = "moderation.change_policypack"
SET_BINDING = "moderation.change_policydocument"
PUBLISH_TEXT = "moderation.add_policytext"
PUBLISH_NOTICE = "moderation.add_noticetemplate"
RETIRE_CATEGORY = "moderation.change_policycategory"
MAKE_TRANSPARENCY = "moderation.add_transparencyreport"
PUBLISH_TRANSPARENCY = "moderation.change_transparencyreport"

REQUEST_APPROVAL = "moderation.add_approval"
DECIDE_APPROVAL = "moderation.change_approval"
ADD_BLOCK = "moderation.add_blockentry"
JUDGE_SIGNAL = "moderation.change_signal"
PUBLISH_DETECTOR = "moderation.add_detectorrule"
WITHDRAW_BLOCK = "moderation.change_blockentry"

# What each duty needs; sealed cases by grant, as everywhere.
DUTIES: dict[str, str] = {
    DutyShift.Duty.REVIEWER: REVIEW,
    DutyShift.Duty.LEAD: DECIDE_CRITICAL,
    DutyShift.Duty.ON_CALL: DECIDE_CRITICAL,
    DutyShift.Duty.CHILD_SAFETY: VIEW_SEALED,
}


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


def may_serve(user: User, duty: str) -> bool:
    """Whether a person may be put on a duty."""
    needed = DUTIES[duty]
    return is_granted(user, needed) if needed == VIEW_SEALED else may(user, needed)


def may_see(user: User, case: Case) -> bool:
    """Whether a person may know what is in a case."""
    return is_granted(user, VIEW_SEALED) if case.category.is_sealed else may(user, VIEW)
