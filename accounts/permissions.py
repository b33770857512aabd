"""What each role may do in its organisation: one table, asked by every page and interface.

Being no member at all is not in here: then the organisation does not exist for that person (404, ACC-38).
"""

from enum import StrEnum

from django.db.models import QuerySet

from accounts.models import APIKey, Membership, Notice, Role


class Right(StrEnum):
    """Something that a member may be allowed to do."""

    SEE_USAGE = "see_usage"  # spend, tokens and calls of the whole organisation
    SEE_BALANCE = "see_balance"  # what can still be spent
    SEE_MOVEMENTS = "see_movements"  # top-ups, grants and adjustments
    TOP_UP = "top_up"  # order top-ups, accept the recharge agreement, let them happen automatically
    SET_ALERTS = "set_alerts"  # the balances below which people are told
    REDEEM_CODES = "redeem_codes"  # turn codes into balance
    SEE_ALL_KEYS = "see_all_keys"  # keys of other members; one's own are always seen
    CREATE_KEYS = "create_keys"
    CHANGE_OWN_KEYS = "change_own_keys"
    CHANGE_ALL_KEYS = "change_all_keys"
    INVITE = "invite"  # bring others in, and gain by it
    REQUEST_APPROVALS = "request_approvals"  # use cases and label opt-outs; the platform decides
    ANSWER_CASES = "answer_cases"  # say what is asked because of a case, and appeal
    RECORD_REVIEWS = "record_reviews"  # what a qualified person found of answers in restricted domains
    # What they are told. Notices that name a person are told to that person besides.
    HEAR_NEWS = "hear_news"
    HEAR_OF_MONEY = "hear_of_money"
    HEAR_AS_MANAGER = "hear_as_manager"


_LOOK = {Right.SEE_USAGE, Right.SEE_BALANCE, Right.HEAR_NEWS}
_BUILD = {Right.CREATE_KEYS, Right.CHANGE_OWN_KEYS}

RIGHTS: dict[str, frozenset[Right]] = {
    Role.OWNER: frozenset(Right),
    Role.ADMIN: frozenset(Right),
    Role.BILLING: frozenset(
        {
            *_LOOK,
            Right.SEE_MOVEMENTS,
            Right.TOP_UP,
            Right.SET_ALERTS,
            Right.REDEEM_CODES,
            Right.SEE_ALL_KEYS,
            Right.HEAR_OF_MONEY,
        }
    ),
    Role.MEMBER: frozenset({*_LOOK, *_BUILD, Right.REDEEM_CODES, Right.RECORD_REVIEWS}),
    Role.VIEWER: frozenset(_LOOK),
}

# Whom an organisation's notices are told, by the right that it takes.
AUDIENCES: dict[str, Right] = {
    Notice.Audience.MEMBERS: Right.HEAR_NEWS,
    Notice.Audience.BILLING: Right.HEAR_OF_MONEY,
    Notice.Audience.MANAGERS: Right.HEAR_AS_MANAGER,
}


def roles_with(right: Right) -> list[str]:
    """The roles that carry a right."""
    return [role for role, rights in RIGHTS.items() if right in rights]


def may(membership: Membership, right: Right) -> bool:
    """Whether a membership's role carries a right. A role that the table does not name may do nothing."""
    return membership.is_active and right in RIGHTS.get(membership.role, frozenset())


def keys_visible_to(membership: Membership) -> QuerySet[APIKey]:
    """The organisation's keys that a member may see: all of them, or the member's own."""
    keys = APIKey.objects.filter(organisation_id=membership.organisation_id)
    return keys if may(membership, Right.SEE_ALL_KEYS) else keys.filter(user_id=membership.user_id)


def may_change_key(membership: Membership, api_key: APIKey) -> bool:
    """Whether a member may edit or revoke a key of the same organisation."""
    if api_key.organisation_id != membership.organisation_id:
        return False
    if may(membership, Right.CHANGE_ALL_KEYS):
        return True
    return api_key.user_id == membership.user_id and may(membership, Right.CHANGE_OWN_KEYS)
