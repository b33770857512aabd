"""Every flow that a process is killed in, by name. Each is killed before and after each SQL statement and command."""

from tests.trials import flows_money, flows_usage
from tests.trials.flow import Flow

FLOWS: dict[str, type[Flow]] = {**flows_usage.FLOWS, **flows_money.FLOWS}
