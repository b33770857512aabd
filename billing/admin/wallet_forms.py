"""What acts on wallets need to be told."""

from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSplitDateTimeWidget

from accounts.admin.fields import NanoField, picker
from accounts.admin.reasons import ReasonedForm
from accounts.models import Project
from billing.models import BalanceAlert, Grant, LedgerTransaction, Purpose, Purse, Wallet
from billing.models.grant import PRIORITY_MAX
from billing.services import wallets
from billing.services.alerts import ALERTS_MAX
from billing.services.grants import Terms
from newapi.kernel import ids, money

Kind = LedgerTransaction.Kind


class OnceForm(ReasonedForm):
    """A form that acts once: the key is made with the page and comes back with every attempt to send it."""

    once = forms.UUIDField(widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["initial"] = {**(kwargs.get("initial") or {}), "once": ids.uuid7()}
        super().__init__(*args, **kwargs)


class MoneyForm(OnceForm):
    """An amount into the wallet, or out of it."""

    amount_nano = NanoField(label="Amount", least_nano=1, most_nano=wallets.AMOUNT_NANO_MAX)
    # Nothing is chosen beforehand: what nobody thought about says nothing.
    purpose = forms.ChoiceField(label="Purpose", choices=[("", "Choose what the money is for"), *Purpose.choices])
    is_checked = forms.BooleanField(
        label="I have checked the amount and the organisation",
        help_text="The ledger keeps it for good; a mistake is undone by a reversal only.",
    )

    def __init__(self, *args: Any, wallet: Wallet, limit: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["amount_nano"].help_text = (
            f"In {wallet.currency}: a decimal number, such as 250 or 12.50. "
            f"More than {limit} waits until a second person has approved it."
        )

    def terms(self) -> Terms:
        """How the grant is to be; plain for what goes out."""
        return Terms()


class CreditForm(MoneyForm):
    """Money in, as a grant."""

    kind = forms.ChoiceField(
        label="Kind",
        choices=[
            (Kind.TOP_UP, "Top-up: they paid for it"),
            (Kind.GRANT, "Grant: we give it"),
            (Kind.ADJUSTMENT, "Adjustment: it was missing"),
        ],
        help_text="Says where the money comes from in the ledger.",
    )
    category = forms.ChoiceField(
        label="Category",
        required=False,
        choices=[("", "As the kind says: a grant is given, the others are paid for"), *Grant.Category.choices],
        help_text="Given money is spent before what was paid for. It also says how an expired rest is booked.",
    )
    priority = forms.IntegerField(
        label="Priority",
        min_value=0,
        max_value=PRIORITY_MAX,
        initial=50,
        help_text="0 to 100. Grants with the lower number are spent first.",
    )
    expires_at = forms.SplitDateTimeField(
        label="Expires",
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="In UTC. Spendable until just before. Empty: for good.",
    )
    project = forms.ModelChoiceField(
        Project.objects.none(),
        label="Only project",
        required=False,
        empty_label="Every project",
        help_text="Only calls of this project may spend it.",
    )
    model = picker(
        Purse._meta.get_field("model"),
        label="Only model",
        required=False,
        help_text="Only calls to this model may spend it. Empty: every model.",
    )
    field_order = (
        "kind",
        "amount_nano",
        "purpose",
        "category",
        "priority",
        "expires_at",
        "project",
        "model",
        "is_checked",
        "reason",
        "once",
    )

    def __init__(self, *args: Any, wallet: Wallet, **kwargs: Any) -> None:
        super().__init__(*args, wallet=wallet, **kwargs)
        project: Any = self.fields["project"]
        project.queryset = Project.objects.filter(organisation=wallet.organisation, is_active=True)

    def terms(self) -> Terms:
        """How the grant is to be."""
        data = self.cleaned_data
        return Terms(
            category=data["category"] or None,
            priority=data["priority"],
            expires_at=data["expires_at"],
            project=data["project"],
            model=data["model"],
        )


class DebitForm(MoneyForm):
    """Money out, as an adjustment."""

    field_order = ("amount_nano", "purpose", "is_checked", "reason", "once")


class LimitForm(ReasonedForm):
    """How far below zero the balance may go, and until when."""

    credit_limit_nano = NanoField(label="Credit limit", least_nano=0, most_nano=money.EXACT_MAX_NANO)
    credit_until = forms.SplitDateTimeField(
        label="Ends",
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="In UTC. From then on nothing more is lent; what was used of it stays to be paid. Empty: for good.",
    )

    def __init__(self, *args: Any, wallet: Wallet, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["credit_limit_nano"].help_text = (
            f"In {wallet.currency}. How far below zero the balance may go, for organisations that pay afterwards. "
            "0: not."
        )


class AlertsForm(ReasonedForm):
    """The balances below which the organisation is told."""

    def __init__(self, *args: Any, wallet: Wallet, **kwargs: Any) -> None:
        standing = BalanceAlert.objects.filter(organisation=wallet.organisation).order_by("-threshold_nano")
        names = [f"threshold_{number}" for number in range(1, ALERTS_MAX + 1)]
        initial = dict(zip(names, standing.values_list("threshold_nano", flat=True), strict=False))
        super().__init__(*args, **{**kwargs, "initial": initial})
        for number, name in enumerate(names, start=1):
            self.fields[name] = NanoField(
                label=f"Alert {number}, {wallet.currency}",
                required=False,
                least_nano=0,
                most_nano=money.EXACT_MAX_NANO,
            )
        self.order_fields([*names, "reason"])

    def thresholds_nano(self) -> list[int]:
        """What was given, each once."""
        given = (value for name, value in self.cleaned_data.items() if name.startswith("threshold_"))
        return sorted({nano for nano in given if nano is not None})


class OpenForm(ReasonedForm):
    """A wallet for an organisation that has none."""

    organisation = picker(Wallet._meta.get_field("organisation"), label="Organisation")
