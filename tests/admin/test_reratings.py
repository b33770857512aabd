"""Re-ratings in the admin: previewed before they are asked for, decided by somebody else."""

from collections.abc import Callable
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from accounts.models import APIKey, AuditEvent, Organisation
from billing import tasks
from billing.models import PriceVersion, RatingDelta, Rerating
from billing.services import prices
from channels.models import Channel, Model
from newapi.kernel import clock
from newapi.kernel.money import NANO
from tests.admin import house as houses
from tests.admin import pages

pytestmark = [pytest.mark.django_db, pytest.mark.req("BIL-09")]
RIGHTS = ("billing.view_rerating", "billing.view_priceversion", "accounts.view_organisation")


@pytest.fixture
def asked(acme: Organisation, raw_key: str, mock_channel: Channel, chat_model: Model) -> dict[str, Any]:
    """The form of a re-rating of one call, made two hours ago for 0.006, at half the price."""
    wrong = chat_model.prices.get()
    right = prices.publish(
        model=chat_model, currency="USD", actor=None, reason="Halved", input_nano=NANO, output_nano=4 * NANO
    )
    ago = clock.to_ms(clock.now() - timedelta(hours=2))
    with clock.shifted(-7_200):
        houses.usage(APIKey.objects.get(), chat_model, mock_channel, wrong, at_ms=ago)
    since, until = clock.now() - timedelta(hours=5), clock.now() - timedelta(minutes=90)
    return {
        "wrong_price": wrong.pk,
        "right_price": right.pk,
        "organisation": "",
        "since_0": f"{since:%Y-%m-%d}",
        "since_1": f"{since:%H:%M:%S}",
        "until_0": f"{until:%Y-%m-%d}",
        "until_1": f"{until:%H:%M:%S}",
    }


def test_it_is_previewed_asked_for_approved_by_another_and_run(
    boss: Client, staff: Callable[..., Client], acme: Organisation, asked: dict[str, Any]
) -> None:
    url = pages.add(Rerating)
    page = unescape(pages.text(pages.send(boss, url, **asked, _preview="")))
    assert "1 call was charged at the wrong price" in page
    assert "0.0030 USD given back" in page
    assert "Acme: 1 call" in page
    assert not Rerating.objects.exists()

    assert pages.send(boss, url, **asked).status_code == 302
    made = Rerating.objects.get()
    assert made.state == "waiting"
    seen = unescape(pages.text(boss.get(pages.change(made))))
    assert "0.0030 USD given back" in seen
    assert pages.act(made, "approve") not in seen
    assert "You asked for it yourself" in unescape(pages.text(pages.send(boss, pages.act(made, "approve"))))

    second = staff(*RIGHTS, "billing.change_rerating")
    assert pages.act(made, "approve") in pages.text(second.get(pages.change(made)))
    assert pages.send(second, pages.act(made, "approve")).status_code == 302
    tasks.rerate()
    made.refresh_from_db()
    assert (made.state, made.delta_nano) == ("done", -3_000_000)
    assert RatingDelta.objects.get().organisation == acme
    page = unescape(pages.text(boss.get(pages.change(made))))
    assert "-0.0030 USD" in page
    delta = RatingDelta.objects.get()
    calls = f"{pages.list_of(RatingDelta)}?rerating__id__exact={made.pk}"
    assert calls in page
    for url in (calls, f"{pages.list_of(RatingDelta)}?q={delta.usage}", f"{pages.list_of(RatingDelta)}?q=acme"):
        assert str(delta.usage) in pages.text(boss.get(url)), url
    assert str(delta.usage) not in pages.text(boss.get(f"{pages.list_of(RatingDelta)}?q=zzz"))
    actions = set(AuditEvent.objects.filter(action__startswith="rerating.").values_list("action", "reason"))
    assert actions == {("rerating.request", pages.REASON), ("rerating.approve", pages.REASON)}


def test_a_rejected_one_does_nothing(boss: Client, staff: Callable[..., Client], asked: dict[str, Any]) -> None:
    pages.send(boss, pages.add(Rerating), **asked)
    made = Rerating.objects.get()
    second = staff(*RIGHTS, "billing.change_rerating")
    assert pages.send(second, pages.act(made, "reject")).status_code == 302
    tasks.rerate()
    assert not RatingDelta.objects.exists()
    assert "decided on already" in pages.text(second.post(pages.act(made, "approve"), {"reason": pages.REASON}))


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"right_price": ""}, "required"),
        ({"until_0": "2001-01-01"}, "ends before it begins"),
        ({"since_0": "2001-01-01"}, "At most 400 days"),
        ({"reason": ""}, "required"),
    ],
)
@pytest.mark.parametrize("button", [{}, {"_preview": ""}], ids=["ask", "preview"])
def test_what_is_wrong_is_said_beside_the_field(
    boss: Client, asked: dict[str, Any], changed: dict[str, str], complaint: str, button: dict[str, str]
) -> None:
    page = pages.send(boss, pages.add(Rerating), **{**asked, **changed, **button})
    assert complaint in unescape(pages.text(page))
    assert not Rerating.objects.exists()


def test_the_right_price_must_be_another_one(boss: Client, asked: dict[str, Any]) -> None:
    page = pages.send(boss, pages.add(Rerating), **{**asked, "right_price": asked["wrong_price"]})
    assert "This is the wrong price itself" in pages.text(page)


@pytest.mark.req("ACC-38")
def test_the_wrong_people_neither_ask_nor_decide(
    boss: Client, staff: Callable[..., Client], asked: dict[str, Any]
) -> None:
    viewer = staff(*RIGHTS)
    assert viewer.get(pages.add(Rerating)).status_code == 403
    assert viewer.post(pages.add(Rerating), {**asked, "reason": pages.REASON}).status_code == 403
    pages.send(boss, pages.add(Rerating), **asked)
    made = Rerating.objects.get()
    for client in (viewer, staff("billing.add_rerating"), staff()):
        for act in ("approve", "reject"):
            assert client.post(pages.act(made, act), {"reason": pages.REASON}).status_code == 403
    made.refresh_from_db()
    assert made.state == "waiting"
    assert PriceVersion.objects.count() == 2
