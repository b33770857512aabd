"""Whose limit it is, in words for the caller and in one word for programs."""

from newapi.gateway.limits import Cap

# Whose limit it is, by the word before the colon of a meter's scope: for the caller, and for programs.
_HOLDERS = {
    "key": ("This key", "key"),
    "member": ("This member", "member"),
    "project": ("This project", "project"),
    "org": ("This organisation", "organisation"),
    "model": ("This organisation, for this model,", "model"),
    "slow": ("This caller, slowed down by a restriction,", "restriction"),
}


def named(scope: str) -> tuple[str, str]:
    """The holder of a scope such as `key:17`: at the beginning of a sentence, and for programs."""
    return _HOLDERS[scope.partition(":")[0]]


def of_cap(cap: Cap) -> tuple[str, dict[str, str]]:
    """The holder of a cap, and the details of the error that it causes."""
    whose, scope = named(cap.scope)
    return whose, {"limit": cap.name, "scope": scope}
