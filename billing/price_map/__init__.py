"""The public price-map file of LiteLLM, read by its grammar: prices in US dollars, one entry a model. Pure."""

from billing.price_map.entries import Entry, read_entry
from billing.price_map.files import BYTES_MAX, ENTRIES_MAX, NAME_LENGTH_MAX, CannotRead, read
from billing.price_map.markup import MARKUP_PPM_MAX, MARKUP_PPM_MIN, with_markup

__all__ = [
    "BYTES_MAX",
    "ENTRIES_MAX",
    "MARKUP_PPM_MAX",
    "MARKUP_PPM_MIN",
    "NAME_LENGTH_MAX",
    "CannotRead",
    "Entry",
    "read",
    "read_entry",
    "with_markup",
]
