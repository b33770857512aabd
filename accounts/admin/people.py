"""People who log in. Nobody types a password for somebody else: a link lets them set their own."""

from typing import Any

from allauth.account.forms import default_token_generator
from allauth.account.utils import user_pk_to_url_str
from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.contrib.filters.admin import BooleanRadioFilter, RangeDateTimeFilter
from unfold.decorators import action, display

from accounts.admin import pages
from accounts.admin.base import Fieldsets, GovernedAdmin, ReadOnlyInline
from accounts.admin.reasons import ReasonedForm
from accounts.models import Membership, User

_RIGHTS = ("is_staff", "is_superuser", "groups", "user_permissions")


class PersonForm(forms.ModelForm):
    """A person is made without a password."""

    class Meta:
        model = User
        fields = ("email", "name", "is_active", *_RIGHTS)

    def clean_email(self) -> str:
        """One spelling for each address."""
        return self.cleaned_data["email"].lower()


class MembershipsOfPerson(ReadOnlyInline):
    """Where a person belongs. Changed on the organisation's page."""

    model = Membership
    fields = ("organisation", "role", "is_active")
    readonly_fields = fields
    verbose_name_plural = "member of"


@admin.register(User)
class PersonAdmin(GovernedAdmin):
    """Staff without all rights can neither give rights nor touch those who have them."""

    form = PersonForm
    list_display = ("email", "name", "active", "is_staff", "is_superuser", "date_joined", "last_login")
    list_filter = (
        ("is_active", BooleanRadioFilter),
        ("is_staff", BooleanRadioFilter),
        ("is_superuser", BooleanRadioFilter),
        ("date_joined", RangeDateTimeFilter),
    )
    search_fields = ("email", "name")
    search_help_text = "E-mail or name"
    date_hierarchy = "date_joined"
    filter_horizontal = ("groups", "user_permissions")
    readonly_fields = ("date_joined", "last_login", "password_state")
    inlines = (MembershipsOfPerson,)
    actions_detail = ("password_link",)

    @display(description="Active", label={"Active": "success", "Switched off": "danger"})
    def active(self, user: User) -> str:
        """The state as a label."""
        return "Active" if user.is_active else "Switched off"

    @display(description="Password")
    def password_state(self, user: User) -> str:
        """Whether one is set; never more than that."""
        return "Set" if user.has_usable_password() else "Not set yet: hand over a password link"

    def sections(self, request: HttpRequest, obj: Model | None) -> Fieldsets:
        """Who, and what they may do here."""
        rights = ("Rights in this admin", {"fields": list(_RIGHTS)})
        if obj is None:
            return [(None, {"fields": ["email", "name", "is_active"]}), rights]
        return [
            (None, {"fields": ["email", "name", "is_active", "password_state"]}),
            rights,
            ("Dates", {"fields": ["date_joined", "last_login"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> tuple[str, ...]:
        """Rights are given by superusers only; otherwise staff could make themselves one."""
        rights = () if request.user.is_superuser else _RIGHTS
        return (*self.readonly_fields, *rights)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Staff accounts are changed by superusers only; an account's e-mail is the way into it."""
        if isinstance(obj, User) and (obj.is_staff or obj.is_superuser) and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """A new person has no password until they set one."""
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)

    @action(description="Password link", icon="key", permissions=["change"])
    def password_link(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Make a link with which the person sets a password of their own."""
        user: User = self.object_or_404(request, object_id)
        if not self.has_change_permission(request, user):
            raise PermissionDenied

        def act(data: dict[str, Any]) -> HttpResponse:
            self.write_down(request, user, verb="password_link", reason=data["reason"])
            path = reverse(
                "account_reset_password_from_key",
                kwargs={"uidb36": user_pk_to_url_str(user), "key": default_token_generator.make_token(user)},
            )
            return pages.secret_page(
                self,
                request,
                title=f"Password link for {user}",
                secret=request.build_absolute_uri(path),
                hint="Give it to this person only, by a way you trust. It works once and is not shown again.",
                obj=user,
            )

        return pages.form_page(
            self,
            request,
            title=f"Make a password link for {user}",
            intro="Whoever has the link can set this account's password. It is shown once.",
            form=ReasonedForm(pages.data_of(request)),
            submit="Make the link",
            act=act,
            obj=user,
        )
