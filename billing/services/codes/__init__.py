"""Redemption codes, from the order of a batch to the grant: made, downloaded once, redeemed, voided.

A batch's `making_until` says when the job looks at it next: while codes are made it is the lease of who makes them;
of sold codes that are out, when those that nobody redeemed become breakage; of voided ones, that work is left.
"""

from billing.services.codes.downloading import Taken, take
from billing.services.codes.errors import CodeMistyped, CodeRefused
from billing.services.codes.making import are_waiting, check, make, make_waiting, worth_nano
from billing.services.codes.redeeming import find, redeem
from billing.services.codes.tending import erase_forgotten, settle_expired, tend
from billing.services.codes.void_job import are_unfinished, finish_voids
from billing.services.codes.voiding import claw_back, void, void_code

__all__ = [
    "CodeMistyped",
    "CodeRefused",
    "Taken",
    "are_unfinished",
    "are_waiting",
    "check",
    "claw_back",
    "erase_forgotten",
    "find",
    "finish_voids",
    "make",
    "make_waiting",
    "redeem",
    "settle_expired",
    "take",
    "tend",
    "void",
    "void_code",
    "worth_nano",
]
