"""Reporting abuse: the form, what keeps machines from it, and how often it may be sent.

Instead of somebody else's puzzle: a field that people do not see, and a moment that people need. Counted are an
address, and a login where there is one; nobody is asked for a name.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django_ratelimit.core import get_usage

from accounts.models import User
from moderation.models import PolicyCategory
from moderation.services import report_rules, reporters
from newapi.kernel import clock
from newapi.middleware import client_address
from newapi.portal.redeem import network_of

# How often a report may be sent, and how often anything may be tried or asked for, from one address.
RATES = {"sent": ("5/10m", "30/d"), "tried": ("30/10m",), "asked": ("120/10m",)}
# Nobody fills this in faster; and a form that lies open for a day has to be opened anew.
FILLED_MS_MIN, FILLED_MS_MAX = 3_000, 24 * 3_600_000
_AS_GIVEN = ("description", "task_id", "model_name", "happened_at", "url", "accused")
_SALT = "newapi.portal.reporting"


def wait_s(request: HttpRequest, group: str, *, increment: bool = True) -> int:
    """For how many seconds too much has come from where this comes from; 0: it may. Counts it, unless told not to."""
    of: list[tuple[str, Callable[[str, HttpRequest], str]]] = [("address", _network)]
    if request.user.is_authenticated:
        of.append(("user", lambda group, request: str(request.user.pk)))
    waits = [0]
    for rate in RATES[group]:
        for name, key in of:
            counted = {"group": f"portal:report:{group}:{name}:{rate}", "key": key, "rate": rate}
            usage = get_usage(request, increment=increment, **counted)
            if usage["should_limit"] or (not increment and usage["count"] >= usage["limit"]):
                waits.append(max(1, usage["time_left"]))
    return max(waits)


def language_of(request: HttpRequest) -> str:
    """In which language a reporter reads, as the browser says: en, de, zh-hans."""
    asked = request.META.get("HTTP_ACCEPT_LANGUAGE", "").split(",")[0].split(";")[0].strip()
    is_one = report_rules.is_language(asked)
    return asked if is_one else "en"


def author_of(request: HttpRequest) -> User | None:
    """Who is logged in, if anybody."""
    return request.user if isinstance(request.user, User) else None


class ReportForm(forms.Form):
    """What is asked of everybody; what of it must be said is told by moderation.services.report_rules."""

    category = forms.ChoiceField(label="What is it about?", required=False)
    description = forms.CharField(
        label="What happened?",
        max_length=report_rules.DESCRIPTION_LENGTH_MAX,
        widget=forms.Textarea(attrs={"rows": 7}),
        help_text="What you saw, and where. Leave out passwords, keys and pictures.",
    )
    task_id = forms.CharField(
        label="Task or request id",
        required=False,
        max_length=report_rules.TASK_ID_LENGTH_MAX,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
        help_text="The header x-request-id of an answer, if you have it.",
    )
    model_name = forms.CharField(
        label="Model",
        required=False,
        max_length=report_rules.MODEL_NAME_LENGTH_MAX,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false"}),
        help_text="Its name, as far as you know it.",
    )
    happened_at = forms.DateTimeField(
        label="When it happened (UTC)",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    url = forms.CharField(
        label="Where it was published",
        required=False,
        max_length=report_rules.URL_LENGTH_MAX,
        widget=forms.TextInput(attrs={"inputmode": "url", "autocomplete": "off"}),
        help_text="An address on the web, if what was made is shown there.",
    )
    accused = forms.CharField(
        label="Who did it",
        required=False,
        max_length=report_rules.ACCUSED_LENGTH_MAX,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
        help_text="If you know.",
    )
    email = forms.EmailField(
        label="Your e-mail address",
        required=False,
        max_length=reporters.EMAIL_LENGTH_MAX,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        help_text="Where we answer. Whom you report never learns it.",
    )
    as_me = forms.BooleanField(required=False, initial=True)
    # Not seen by people, and named as machines like it.
    website = forms.CharField(
        label="Leave this field empty",
        required=False,
        widget=forms.TextInput(attrs={"tabindex": "-1", "autocomplete": "off"}),
    )
    opened = forms.CharField(widget=forms.HiddenInput, required=False, max_length=200)

    def __init__(self, data: Any = None, *, author: User | None, **kwargs: Any) -> None:
        super().__init__(data, **kwargs)
        self._author = author
        self._categories = {category.code: category for category in PolicyCategory.objects.in_force().order_by("name")}
        field: Any = self.fields["category"]
        field.choices = [("", "I am not sure"), *((code, category.name) for code, category in self._categories.items())]
        if author is None:
            del self.fields["as_me"]
        else:
            del self.fields["email"]
            self.fields["as_me"].label = f"Answer me as {author.email}"
            self.fields["as_me"].help_text = "Whom you report never learns it. Switched off, nobody knows who you are."

    def clean(self) -> dict[str, Any]:
        """Tell machines from people. Raises ValidationError."""
        given = super().clean() or self.cleaned_data
        if given.get("website"):
            raise ValidationError("The field that has to stay empty was filled in. Empty it, and send the form again.")
        taken = clock.now_ms() - _opened_ms(given.get("opened", ""))
        if taken < FILLED_MS_MIN:
            raise ValidationError("That was faster than people write. Read it through once more, then send it again.")
        if taken > FILLED_MS_MAX:
            raise ValidationError("This form lay open for very long. Send it again; what you wrote is still here.")
        return given

    def order(self) -> dict[str, Any]:
        """The arguments of reports.submit."""
        given = self.cleaned_data
        order = {name: given[name] for name in _AS_GIVEN}
        order["category"] = self._categories.get(given["category"])
        order["email"] = given.get("email", "")
        order["user"] = self._author if given.get("as_me") else None
        return order

    def take_errors(self, error: ValidationError) -> None:
        """Show what the service refused at the field that caused it."""
        for name, complaints in error.message_dict.items() if hasattr(error, "error_dict") else ():
            self.add_error(name if name in self.fields else None, complaints)

    def renewed(self) -> "ReportForm":
        """The same with the moment of now, for one that lay open too long."""
        if clock.now_ms() - _opened_ms(self.data.get("opened", "")) > FILLED_MS_MAX:
            data: Any = self.data
            data = data.copy()
            data["opened"] = opened_now()
            self.data = data
        return self


def opened_now() -> str:
    """The moment at which a form is shown, signed."""
    return signing.dumps(clock.now_ms(), salt=_SALT)


def _opened_ms(text: str) -> int:
    """When a form was shown; 0, which is too long ago, for a text that we did not sign."""
    try:
        opened = signing.loads(text, salt=_SALT)
    except signing.BadSignature:
        return 0
    return opened if isinstance(opened, int) else 0


def _network(group: str, request: HttpRequest) -> str:
    return network_of(client_address(request))
