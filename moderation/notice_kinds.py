"""What the text of each kind of notice may name, and what it must: the fields of NOT-05 as placeholders. Pure.

A placeholder is `{name}` with small letters. Everything else in a template is taken as it stands, so that braces
which belong to no placeholder are refused.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
# Three empty lines and more, where an optional value was empty.
_GAP = re.compile(r"\n{3,}")
# Every kind may name these. `abuse_contact` is where a person answers.
COMMON = frozenset({"site_name", "abuse_contact", "organisation", "case", "portal_link", "date"})


@dataclass(frozen=True, slots=True)
class Fields:
    """The placeholders of a kind. `required` stand in every text and are never empty; `optional` may be either."""

    required: frozenset[str]
    optional: frozenset[str] = frozenset()

    @property
    def known(self) -> frozenset[str]:
        """All that a text may name."""
        return self.required | self.optional | COMMON


# Facts and grounds, the code with the version of its text, each measure with its scope and how long it holds,
# whether machines took part, and how to appeal until when (NOT-05).
_DECISION = frozenset(
    {
        "decision",
        "finding",
        "facts",
        "policy_code",
        "policy_version",
        "measures",
        "automated",
        "appeal_link",
        "appeal_deadline",
    }
)
_OF_DECISION = frozenset({"policy_name", "policy_text", "further_policies", "demands", "replaces", "strikes"})

KINDS: Mapping[str, Fields] = {
    "prior": Fields(_DECISION | {"effect_time"}, _OF_DECISION),
    "decision": Fields(_DECISION, _OF_DECISION),
    "interim": Fields(frozenset({"policy_code", "measures", "lapse", "abuse_contact"}), frozenset({"policy_name"})),
    "lifted": Fields(frozenset({"measures", "lifted_at", "reason"})),
    "demand": Fields(frozenset({"demand", "demand_kind", "request", "due"}), frozenset({"trace_ids", "scope"})),
    "appeal_received": Fields(
        frozenset({"appeal", "decision", "received_at"}), frozenset({"answer_by", "appeal_link"})
    ),
    "appeal_outcome": Fields(
        frozenset({"appeal", "decision", "outcome", "reasons", "independence", "measures"}), frozenset({"appeal_link"})
    ),
    "report_received": Fields(frozenset({"report", "received_at"})),
    "report_outcome": Fields(frozenset({"report", "outcome"})),
}


def faults(kind: str, subject: str, body: str) -> list[str]:
    """What is wrong with the texts of a template, in words; nothing when it may be published.

    A subject names what is short and harmless only; what must stand in the notice stands in its body.
    """
    fields = KINDS.get(kind)
    if fields is None:
        return [f"There is no kind of notice “{kind}”."]
    named = {where: set(PLACEHOLDER.findall(text)) for where, text in (("subject", subject), ("body", body))}
    found = [f"The {where} names {{{name}}}, which this kind does not know." for where, names in named.items()
             for name in sorted(names - fields.known)]  # fmt: skip
    found += [f"The body does not name {{{name}}}, which it must." for name in sorted(fields.required - named["body"])]
    found += [f"The {where} has a brace that belongs to no placeholder." for where, text in
              (("subject", subject), ("body", body)) if has_loose_brace(text)]  # fmt: skip
    if any(not text.strip() for text in (subject, body)):
        found.append("Subject and body both need a text.")
    return found


def has_loose_brace(text: str) -> bool:
    """Whether a brace stands there that is part of no placeholder: a mistyped one, which nothing would fill."""
    return bool(re.search(r"[{}]", PLACEHOLDER.sub("", text)))


def missing(kind: str, text: str, values: Mapping[str, str]) -> list[str]:
    """The placeholders that would stay unresolved: named but without a value, or required and empty. Sorted."""
    fields = KINDS[kind]
    unresolved = {name for name in PLACEHOLDER.findall(text) if name not in values}
    empty = {name for name in fields.required if not values.get(name, "").strip()}
    return sorted(unresolved | empty)


def fill(text: str, values: Mapping[str, str]) -> str:
    """The text with each placeholder replaced, once: what a value contains is never looked at again.

    Raises KeyError for a placeholder without a value.
    """
    filled = PLACEHOLDER.sub(lambda found: values[found[1]], text)
    return _GAP.sub("\n\n", "\n".join(line.rstrip() for line in filled.splitlines())).strip()
