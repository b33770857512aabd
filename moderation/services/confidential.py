"""What organisations are told never names who reported (MOD-09)."""

from django.core.exceptions import ValidationError

from moderation.models import Case
from moderation.services import reports


def check(case: Case, *texts: str) -> None:
    """Raises ValidationError when texts for the organisation say how somebody who reported is called or reached."""
    if reports.names_a_reporter(case=case, text="\n".join(texts)):
        raise ValidationError("This names somebody who reported. The organisation must not learn who it was.")
