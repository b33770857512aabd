"""The people of the moderation desk."""

import pytest

from accounts.models import User
from moderation import policy
from moderation.models import PolicyCategory
from tests.moderation import desk


@pytest.fixture(autouse=True)
def categories(db: None) -> None:
    """The categories of the migration, also after a transactional test has emptied the tables."""
    if not PolicyCategory.objects.exists():
        policy.seed(PolicyCategory)


@pytest.fixture
def ira(categories: None) -> User:
    """Takes reports in."""
    return desk.worker("ira", "intake")


@pytest.fixture
def rex(categories: None) -> User:
    """Reviews; decides L3 and L4."""
    return desk.worker("rex", "reviewer")


@pytest.fixture
def roy(categories: None) -> User:
    """Another reviewer."""
    return desk.worker("roy", "reviewer")


@pytest.fixture
def sue(categories: None) -> User:
    """Senior: decides L2 as well."""
    return desk.worker("sue", "senior")


@pytest.fixture
def lea(categories: None) -> User:
    """Leads the desk."""
    return desk.worker("lea", "lead")


@pytest.fixture
def kim(categories: None) -> User:
    """Child safety: sees sealed cases, and only those."""
    return desk.worker("kim", "child safety")


@pytest.fixture
def rita(categories: None) -> User:
    """Decides appeals; has no part in any case."""
    return desk.allowed(desk.worker("rita", "auditor"), "review_appeal")


@pytest.fixture
def lou(categories: None) -> User:
    """Admits late appeals, and reviewers who took part, where it has to be."""
    return desk.allowed(desk.worker("lou", "auditor"), "admit_appeal", "assign_case")
