"""A published report in a real browser: nothing hangs out of a phone, and all of it can be read."""

import pytest
from playwright.sync_api import Browser
from pytest_django.live_server_helper import LiveServer

from accounts.models import User
from moderation.models import Case
from tests.browser import PHONE
from tests.moderation.test_transparency import published, quarter  # noqa: F401
from tests.portal.test_browser import Visitor, problems_of

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_published_report_fits_a_phone_and_is_readable(
    theme: str,
    browser: Browser,
    live_server: LiveServer,
    quarter: list[Case],  # noqa: F811
    root: User,
) -> None:
    published(root)
    phone = Visitor(browser, live_server, viewport=PHONE, color_scheme=theme, has_touch=True, is_mobile=True)
    assert problems_of(phone, "/transparency") == {}
    assert "nine of ten within" in phone.page.content()
    assert phone.complaints == []
