"""Billing's tests empty tables that refuse DELETE."""

from tests.tools import flush

flush.install()
