"""The blocklists as a call meets them: sorted by kind once, with the catalogue."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from moderation.selectors import Block
from newapi.gateway.observing import Phrases
from newapi.gateway.passports import Passport
from newapi.kernel import addresses, errors
from newapi.kernel.places import Place

# The policy code that a refusal cites, by the entry's purpose (GW-38).
_CODES: Mapping[str, str] = {
    "security": "CY-ATTACK",
    "abuse": "PA-OTHER",
    "sanctions": "EC-SANCTION",
    "legal": "LG-ILLEGAL",
    "content": "LG-ILLEGAL",
}


class Blocks:
    """Entries in force when the catalogue was loaded. The clock judges their ends at each call."""

    def __init__(self, entries: Iterable[Block] = ()) -> None:
        exact: dict[tuple[str, str], list[Block]] = defaultdict(list)
        ranges: list[tuple[addresses.Network, Block]] = []
        self._agents: list[tuple[str, Block]] = []
        by_phrase: dict[int, Block] = {}
        for entry in entries:
            if entry.kind == "address":
                ranges += [(network, entry) for network in addresses.networks([entry.value])]
            elif entry.kind == "user_agent":
                self._agents.append((entry.value.lower(), entry))
            elif entry.kind == "phrase":
                by_phrase[entry.id] = entry
            else:
                exact[entry.kind, entry.value].append(entry)
        self._exact = dict(exact)
        self._ranges = addresses.RangeTable(ranges)
        self._by_phrase = by_phrase
        self._phrases = Phrases((entry.id, entry.value) for entry in by_phrase.values())
        self.asks_caller = bool(self._exact or self._ranges or self._agents)
        self.asks_text = bool(by_phrase)

    def check_caller(self, passport: Passport, *, address: str, place: Place, user_agent: str, now_ms: int) -> None:
        """Who calls, from where, with what. Raises Blocked."""
        who = (
            ("api_key", str(passport.api_key_id)),
            ("organisation", str(passport.organisation_id)),
            ("country", place.country),
            ("country", passport.country),
            ("asn", str(place.asn)),
        )
        for name in who if self._exact else ():
            for entry in self._exact.get(name, ()):
                _refuse_if(entry, passport, now_ms)
        for entry in self._ranges.at(address) if self._ranges else ():
            _refuse_if(entry, passport, now_ms)
        if self._agents:
            agent = user_agent.lower()
            for part, entry in self._agents:
                if part in agent:
                    _refuse_if(entry, passport, now_ms)

    def check_text(self, passport: Passport, text: str, *, now_ms: int) -> None:
        """What is asked. The text is looked through and not kept. Raises Blocked."""
        for phrase_id in self._phrases.found_in(text):
            _refuse_if(self._by_phrase[phrase_id], passport, now_ms)


def _refuse_if(entry: Block, passport: Passport, now_ms: int) -> None:
    if not entry.holds_at(now_ms) or entry.organisation_id not in (None, passport.organisation_id):
        return
    kind = errors.CountrySanctioned if entry.kind == "country" else errors.Blocked
    what = {"country": "Calls from this country are refused.", "phrase": "The request holds a phrase that is refused."}
    raise kind(
        what.get(entry.kind, "This caller is on a blocklist."),
        details={"policy_code": _CODES[entry.purpose], "purpose": entry.purpose},
    )
