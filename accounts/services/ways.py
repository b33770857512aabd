"""How people of an organisation are written to: in which language, by which clock."""

from django.core.exceptions import ValidationError
from django.db import transaction

from accounts.models import Membership, Organisation, User
from accounts.permissions import Right, may
from accounts.services import audit


@transaction.atomic
def set_ways(
    *, organisation: Organisation, language: str, time_zone: str, actor: User, reason: str, address: str | None = None
) -> bool:
    """Set the language and time zone of an organisation, by one of its owners or admins. False when nothing changed.

    Raises ValidationError for others, and for a language or time zone that there is not.
    """
    member = Membership.objects.filter(organisation=organisation, user=actor, is_active=True).first()
    if member is None or not may(member, Right.ANSWER_CASES):
        raise ValidationError("Only owners and admins of the organisation change this.")
    before = (organisation.language, organisation.time_zone)
    organisation.language, organisation.time_zone = language, time_zone
    organisation.clean_fields(exclude=[field.name for field in organisation._meta.fields if field.name not in _WAYS])
    if before == (language, time_zone):
        return False
    organisation.save(update_fields=list(_WAYS))
    changes = {"language": [before[0], language], "time_zone": [before[1], time_zone]}
    audit.record(
        actor=actor, action="organisation.ways", target=organisation, reason=reason, changes=changes, address=address
    )
    return True


_WAYS = ("language", "time_zone")
