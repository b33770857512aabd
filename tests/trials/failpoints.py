"""Every flow that a process is killed in, by name. Each is killed before and after each SQL statement and command."""

from tests.trials import flows_codes, flows_gifts, flows_money, flows_payments, flows_usage
from tests.trials.flow import Flow

FLOWS: dict[str, type[Flow]] = {
    **flows_usage.FLOWS,
    **flows_money.FLOWS,
    **flows_gifts.FLOWS,
    **flows_codes.FLOWS,
    **flows_payments.FLOWS,
}
