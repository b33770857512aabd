"""A report in the house, whose writer must stand in no page, list or download."""

from accounts.models import Organisation
from moderation.models import Report
from moderation.services import reports

EMAIL = "canary-reporter@whistle.example"
URL = "https://published.example/post/1?a=<b>"
SECRETS = (EMAIL, "canary-reporter")


def fill(*, organisation: Organisation) -> Report:
    """What somebody wrote who names themselves in what they write."""
    report, _ = reports.submit(
        channel="web",
        description=f"They resell this model. Ask me: {EMAIL}. I have more.",
        model_name="mock-gpt",
        email=EMAIL,
        organisation=organisation,
        url=URL,
        accused="Acme",
    )
    return report
