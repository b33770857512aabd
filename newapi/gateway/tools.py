"""Tools that the provider runs and bills by the use: which ones a call names, and how often it may use them."""

import re
from collections.abc import Iterator
from typing import Any

from billing.pricing import TOOL
from newapi.kernel.errors import InvalidRequest

# What is held for when the caller does not bound the uses itself, for each choice.
USES_HELD = 16
# More than a caller may ask for, and than anybody believes of one call; so more is never charged, nor held for.
USES_MAX = 1_000
TOOLS_MAX = 8
# Tools that the caller runs. They cost nothing but the tokens that describe them.
_OWN = ("function", "custom")
# Members with which providers let a call search without a tool.
_SEARCHES = ("web_search_options", "search_parameters", "enable_search")
# Members that may name a billed tool; the judged one is the one that is sent.
MEMBERS = (*_SEARCHES, "tools", "plugins")
# Versions in a tool's type: web_search_20250305, web_search_preview_2025_03_11.
_VERSION = re.compile(r"(_preview)?(_\d{4}_?\d{2}_?\d{2})?$")
_ALIASES = {
    "tool:web": "tool:web_search",
    "tool:live_search": "tool:web_search",
    "tool:google_search": "tool:web_search",
}


def named_in(body: dict[str, Any], *, choices: int) -> dict[str, int] | None:
    """Each billed tool that a body names, such as `tool:web_search`, with the most uses; None in the usual call.

    Raises InvalidRequest for what cannot be told apart: what a tool costs must be known before it is used.
    """
    if not any(name in body for name in MEMBERS):
        return None
    named: dict[str, int] = {}
    for tool, uses in _named(body):
        # A tool that is named twice may be used as often as both say.
        named[tool] = min(named.get(tool, 0) + uses * choices, USES_MAX)
    if len(named) > TOOLS_MAX:
        raise InvalidRequest(f"At most {TOOLS_MAX} of the provider's tools can be used in a call.", param="tools")
    return named or None


def called(kind: object, *, param: str) -> str:
    """The name by which a tool is priced, whatever its version. Raises InvalidRequest."""
    name = f"tool:{_VERSION.sub('', kind)}" if isinstance(kind, str) else ""
    name = _ALIASES.get(name, name)
    if TOOL.fullmatch(name) is None:
        raise InvalidRequest("Each tool must have a type, such as 'function' or 'web_search'.", param=param)
    return name


def _named(body: dict[str, Any]) -> Iterator[tuple[str, int]]:
    for name in _SEARCHES:
        if body.get(name) not in (None, False):
            yield "tool:web_search", USES_HELD
    for plugin in _listed(body, "plugins"):
        yield called(plugin.get("id"), param="plugins"), USES_HELD
    for tool in _listed(body, "tools"):
        kind = tool.get("type")
        if kind in _OWN or (kind is None and isinstance(tool.get("function"), dict)):
            continue
        yield called(kind, param="tools"), _uses_of(tool)


def _listed(body: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = body.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidRequest(f"'{name}' must be a list of objects.", param=name)
    return found


def _uses_of(tool: dict[str, Any]) -> int:
    most = tool.get("max_uses")
    if most is None:
        return USES_HELD
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= USES_MAX:
        raise InvalidRequest(f"'max_uses' must be a whole number from 1 to {USES_MAX}.", param="tools")
    return most
