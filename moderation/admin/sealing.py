"""Pages of cases, and of what belongs to one: of a sealed case by unsealing only, and each try is on record."""

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from accounts.admin import exports
from accounts.admin.requests import actor_of, address_of
from moderation import permissions
from moderation.models import Case
from moderation.selectors import never_sealed, path_to_case
from moderation.services import sealed

# Of every model that leads to a case, on whoever's page.
exports.guard(never_sealed)


def case_of(obj: Model) -> Case | None:
    """The case that an object belongs to, or is."""
    path = path_to_case(type(obj))
    for name in path.split("__") if path else ():
        obj = getattr(obj, name, None)  # type: ignore[assignment]
    return obj if isinstance(obj, Case) else None


def ask_url(case: Case) -> str:
    """Where leave to read a sealed case is asked."""
    return f"{reverse('admin:moderation_unsealing_add')}?case={case.pk}"


def enter(request: HttpRequest, case: Case | None, *, reads: bool) -> HttpResponse | None:
    """None when the person may go on; otherwise where to. Of a sealed case every try is written down.

    reads: whether the page shows what is in the case; acts need the grant only. Raises PermissionDenied. Call it
    outside of any transaction, so that the record of a refusal stays.
    """
    if case is None or not case.category.is_sealed:
        return None
    actor = actor_of(request)
    is_granted = permissions.may_see(actor, case)
    is_allowed = sealed.may_read(user=actor, case=case) if reads else is_granted
    what = f"{request.method} {request.path}"
    sealed.note(user=actor, case=case, what=what, was_allowed=is_allowed, address=address_of(request))
    if is_allowed:
        return None
    if not is_granted:
        raise PermissionDenied
    messages.warning(request, f"{case.reference} is sealed. Ask to read it; a colleague must agree.")
    return HttpResponseRedirect(ask_url(case))


class Sealing:
    """For the admin of cases and of whatever leads to one by foreign keys. Comes first among the bases."""

    # On: the child-safety team finds its sealed cases here without the right to see all others.
    is_for_child_safety = False

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Without what belongs to sealed cases, for whom they are sealed; only that for whom the rest is closed."""
        rows: QuerySet = super().get_queryset(request)  # type: ignore[misc]
        path = path_to_case(rows.model)
        sealed_rows = {f"{path}__category__is_sealed" if path else "category__is_sealed": True}
        if not permissions.is_granted(actor_of(request), permissions.VIEW_SEALED):
            return rows.exclude(**sealed_rows)
        return rows if super().has_view_permission(request) else rows.filter(**sealed_rows)  # type: ignore[misc]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of a sealed case by grant, which no other right replaces."""
        case = case_of(obj) if isinstance(obj, Model) else None
        if case is not None and case.category.is_sealed:
            return permissions.may_see(actor_of(request), case)
        if super().has_view_permission(request, obj):  # type: ignore[misc]
            return True
        is_theirs = self.is_for_child_safety or self.model is Case  # type: ignore[attr-defined]
        is_list = obj is None and is_theirs
        return is_list and permissions.is_granted(actor_of(request), permissions.VIEW_SEALED)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Its page. The look is written down before Django begins the transaction that a refusal rolls back."""
        elsewhere = enter(request, self._guarded(object_id), reads=True)
        if elsewhere is not None:
            return elsewhere
        response: HttpResponse = super().change_view(request, object_id, form_url, extra_context)  # type: ignore[misc]
        return response

    def object_or_404(self, request: HttpRequest, object_id: str) -> Any:
        """The object, for an act on it."""
        enter(request, self._guarded(object_id), reads=False)
        return super().object_or_404(request, object_id)  # type: ignore[misc]

    def _guarded(self, object_id: str) -> Case | None:
        model: type[Model] = self.model  # type: ignore[attr-defined]
        try:
            key = model._meta.pk.to_python(object_id)
        except ValidationError:
            return None
        path = path_to_case(model)
        rows = model._base_manager.select_related(f"{path}__category" if path else "category")
        found = rows.filter(pk=key).first()
        return None if found is None else case_of(found)
