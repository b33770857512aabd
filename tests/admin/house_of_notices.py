"""A decision that was told, with the webhook it was posted to, and an appeal against it."""

from accounts.models import Organisation, User
from moderation.models import NoticeHook, NoticeTemplate
from moderation.notice_seeds import seed
from moderation.services import appeals, delivery
from newapi.kernel import secrets
from tests.moderation import desk

HOOK_SECRET = "whsec_canary-of-the-hook"
SECRETS = (HOOK_SECRET,)


def fill(*, organisation: Organisation, user: User) -> None:
    """One of each. The webhook is off, so that nothing is posted."""
    seed(NoticeTemplate)
    NoticeHook.objects.create(
        organisation=organisation,
        url="https://hooks.acme.example/newapi",
        sealed_secret=secrets.seal(HOOK_SECRET, bound_to="notice_hook:house"),
        is_on=False,
    )
    decision = desk.decided(organisation, user)
    delivery.deliver()
    appeals.submit(decision=decision, grounds="We did not do it.", via="link")
