"""What is decided holds for the very next call on every worker."""

from collections.abc import Iterator

import pytest
import requests

from tests.processes import until
from tests.product.conftest import Product
from tests.product.workers import running_workers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]


@pytest.fixture(scope="module")
def workers(product: Product) -> Iterator[list[str]]:
    """Three web workers, each at an address of its own."""
    with running_workers(product) as urls:
        yield urls


def statuses(product: Product, workers: list[str], key: str) -> list[int]:
    """What each worker answers to one call."""
    body = {"model": "mock-gpt", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}
    headers = {"Authorization": f"Bearer {key}"}
    return [
        requests.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=10).status_code
        for url in workers
    ]


NEW_KEY = (
    "api_keys.create(project=Project.objects.filter(organisation__slug='demo').first(), "
    "user=User.objects.get(email='member@example.com'), name='second', actor=None, reason='Test').raw "
    "if (api_keys := __import__('accounts.services.api_keys', fromlist=['x'])) else None"
)
REVOKE = (
    "api_keys.revoke(api_key=APIKey.objects.get(name='second'), actor=None, reason='Test') "
    "if (api_keys := __import__('accounts.services.api_keys', fromlist=['x'])) else None"
)
IMPOSE = (
    "restrictions.impose(organisation=Organisation.objects.get(slug='demo'), scope='organisation', reason='Test case', "
    "actor=None).pk if (restrictions := __import__('moderation.services.restrictions', fromlist=['x'])) else None"
)
LIFT = (
    "restrictions.lift(restriction=Restriction.objects.get(lifted_at=None, organisation__slug='demo'), "
    "actor=None, reason='Test over') "
    "if (restrictions := __import__('moderation.services.restrictions', fromlist=['x'])) and "
    "(Restriction := __import__('moderation.models', fromlist=['x']).Restriction) else None"
)


def warm_up(product: Product, workers: list[str], key: str) -> None:
    """One call through each worker, so that each has the key's passport in its cache."""
    until(lambda: statuses(product, workers, key) == [200] * 3, within_s=30, what="every worker serves the key")


@pytest.mark.req("GW-26")
def test_a_revoked_key_is_refused_by_every_worker_on_the_next_call(product: Product, workers: list[str]) -> None:
    key = product.ask(NEW_KEY)
    warm_up(product, workers, key)
    assert product.ask(REVOKE) is True
    assert statuses(product, workers, key) == [401, 401, 401]


@pytest.mark.req("GW-26", "GW-27")
def test_a_restricted_organisation_is_refused_by_every_worker_on_the_next_call(
    product: Product, workers: list[str]
) -> None:
    key = product.demo["api_key"]
    warm_up(product, workers, key)
    assert product.ask(IMPOSE)
    assert statuses(product, workers, key) == [403, 403, 403]
    assert product.ask(LIFT) is True
    assert statuses(product, workers, key) == [200, 200, 200]
