"""Reads of the accounts app that others build on."""

from datetime import timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet

from accounts import permissions
from accounts.models import APIKey, Membership, Notice, NoticeRead, Organisation, User
from newapi.kernel import clock

# A notice older than this is history, read or not, so that what is counted on every page stays small.
UNREAD_FOR = timedelta(days=90)


def api_key_by_digest(digest: bytes) -> APIKey | None:
    """The one way from a presented secret to a key, with its organisation, project and user."""
    return APIKey.objects.select_related("organisation", "project", "user").filter(digest=digest).first()


def epoch_of(*, organisation_id: int) -> int:
    """An organisation's current epoch. See accounts.services.epochs."""
    return Organisation.objects.values_list("epoch", flat=True).get(pk=organisation_id)


def organisations_of(user: User) -> QuerySet[Organisation]:
    """The organisations in which a person is an active member."""
    return Organisation.objects.filter(memberships__user=user, memberships__is_active=True).order_by("name")


def notices_for(membership: Membership) -> QuerySet[Notice]:
    """The notices that a member is told: those to the audiences of the role, and those that name the person.

    Newest first, each with `is_unread`.
    """
    audiences = [audience for audience, right in permissions.AUDIENCES.items() if permissions.may(membership, right)]
    told = Notice.objects.filter(organisation=membership.organisation_id)
    if not membership.is_active:
        return told.none()
    return _marked(told.filter(Q(audience__in=audiences) | Q(user=membership.user_id)), membership.user_id)


def unread_notices(membership: Membership, *, limit: int) -> int:
    """How many notices a member has not seen, counted up to a limit."""
    return notices_for(membership).filter(_unread_by(membership.user_id)).order_by()[:limit].count()


def operator_notices(user: User) -> QuerySet[Notice]:
    """What a colleague of the platform is told: in person, and as an operator. Newest first, each with `is_unread`."""
    told = Q(audience=Notice.Audience.PERSON, user=user)
    if is_operator(user):
        told |= Q(audience=Notice.Audience.OPERATORS)
    return _marked(Notice.objects.filter(told), user.pk)


def unread_operator_notices(user: User, limit: int) -> list[Notice]:
    """The newest notices to the operators that this one has not seen."""
    return list(operator_notices(user).filter(_unread_by(user.pk))[:limit])


def is_operator(user: User) -> bool:
    """Whether a person is told what the operators are told: staff with the right to see notices."""
    return user.is_active and user.is_staff and user.has_perm("accounts.view_notice")


def addressees(notice: Notice, *, limit: int) -> list[User]:
    """Whom a notice is mailed: everybody who sees it, at most so many."""
    if notice.audience == Notice.Audience.PERSON:
        return [notice.user] if notice.user is not None and notice.user.is_active else []
    if notice.audience == Notice.Audience.OPERATORS:
        staff = User.objects.filter(is_active=True, is_staff=True).order_by("pk")
        return [user for user in staff[:limit] if is_operator(user)]
    roles = permissions.roles_with(permissions.AUDIENCES[notice.audience])
    there = Membership.objects.filter(organisation=notice.organisation_id, is_active=True, user__is_active=True)
    told = there.filter(Q(role__in=roles) | Q(user=notice.user_id)).select_related("user").order_by("user")
    return [membership.user for membership in told[:limit]]


def _marked(notices: QuerySet[Notice], user_id: int) -> QuerySet[Notice]:
    return notices.annotate(is_unread=_unread_by(user_id))


def _unread_by(user_id: int) -> Q:
    seen = Exists(NoticeRead.objects.filter(notice=OuterRef("pk"), user=user_id))
    return Q(~seen, created_at__gt=clock.now() - UNREAD_FOR)
