"""The drill: from a report to a suspension on every worker, and by an appeal back, with a browser and an SDK.

Its pictures are kept in tests/artifacts/drill.
"""

import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import openai
import pytest
from playwright.sync_api import Browser, Page, expect

from tests import browser as browsers
from tests import cast
from tests.processes import ROOT, MockUpstream, until
from tests.product.conftest import Product
from tests.product.streams import Stream, customer
from tests.product.workers import running_workers

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("product")]

PICTURES = ROOT / "tests" / "artifacts" / "drill"
QUESTION = [{"role": "user", "content": "Hello"}]
DESK = "__import__('tests.moderation.desk', fromlist=['x'])"
MODELS = "__import__('moderation.models', fromlist=['x'])"
CODE = "WP-DEV"
# Who works at the desk, as what.
DUTY = {"lea": "lead", "lou": "lead", "sid": "senior"}
FACTS = "The calls of this key asked for the construction of a weapon, step by step."


@pytest.fixture(scope="module")
def workers(product: Product) -> Iterator[list[str]]:
    """Three web workers."""
    with running_workers(product) as urls:
        yield urls


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, browser: Browser, base: str) -> None:
        self.base, self.page = base, browser.new_context(viewport=browsers.WIDE).new_page()
        self.page.set_default_timeout(browsers.PATIENCE_MS)
        self.broken: list[str] = []
        self.page.on("pageerror", lambda error: self.broken.append(str(error)))

    def open(self, path: str) -> Page:
        """Go to a page."""
        answer = self.page.goto(f"{self.base}{path}")
        assert answer is not None and answer.ok, (path, answer and answer.status)
        return self.page

    def log_in(self, name: str) -> "Person":
        """To the admin, by its form."""
        page = self.open("/admin/")
        page.get_by_label("Email").fill(f"{name}@example.com")
        page.get_by_label("Password").fill(cast.PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{self.base}/admin/")
        return self

    def act(self, what: str, act: str, button: str, **fields: str) -> None:
        """One act of a page of its own: fill in its form, and send it."""
        page = self.open(f"/admin/moderation/{what}/{act}/")
        for name, value in {"reason": "As the drill has it", **fields}.items():
            field = page.locator(f"#id_{name}")
            if not field.count():
                continue
            if field.evaluate("field => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
        page.get_by_role("button", name=button, exact=True).click()
        page.wait_for_url("**/change/**")

    def picture(self, name: str) -> None:
        """Keep what is seen now."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
        assert self.broken == []


def calls(workers: list[str], key: str) -> list[str]:
    """What the SDK makes of one call on each worker: the answer's finish reason, or the error's code."""
    found = []
    for url in workers:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
        try:
            found.append(client.chat.completions.create(model="mock-gpt", messages=QUESTION).choices[0].finish_reason)
        except openai.PermissionDeniedError as error:
            found.append(str(error.code))
    return found


def a_call_on_record(product: Product, worker: str, key: str) -> str:
    """The id of a call that was made and is known to the house."""
    client = openai.OpenAI(base_url=f"{worker}/v1", api_key=key, max_retries=0)
    answer = client.chat.completions.with_raw_response.create(model="mock-gpt", messages=QUESTION)
    task_id = answer.headers["x-request-id"]
    posted = f"UsageEvent.objects.filter(pk={task_id!r}).exists()"
    until(lambda: product.ask(posted), within_s=60, what="the call is on record")
    return task_id


def reported(product: Product, browser: Browser, task_id: str) -> int:
    """A stranger reports a call by its id. The case that it opens."""
    reporter = Person(browser, product.url)
    page = reporter.open("/report")
    page.get_by_label("What happened?").fill("Somebody shows on the web how a weapon is built, made with your API.")
    page.get_by_label("Task or request id").fill(task_id)
    page.get_by_label("What is it about?").select_option(CODE)
    reporter.picture("1-report")
    # Faster than anybody types, it is asked once more: that is the form's own protection.
    page.wait_for_timeout(3_500)
    page.get_by_role("button", name="Send the report").click()
    expect(page.get_by_text("R-20").first).to_be_visible()
    reporter.picture("2-report-taken")
    return int(product.ask(f"{MODELS}.Case.objects.filter(category__code={CODE!r}).latest('pk').pk"))


def triaged(lea: Person, case: int) -> None:
    """The desk takes it up, and proposes what to do."""
    lea.open("/admin/moderation/queue/")
    lea.picture("3-queue")
    lea.act(f"case/{case}", "move", "Move", to="triaged")
    lea.act(f"case/{case}", "move", "Move", to="in_review")
    lea.open(f"/admin/moderation/case/{case}/propose/").get_by_label("Facts and their grounds").fill(FACTS)
    lea.picture("4-propose")
    lea.page.get_by_role("button", name="Propose", exact=True).click()
    lea.page.wait_for_url("**/change/**")


def confirmed(lea: Person, case: int) -> float:
    """An L1 is decided, and holds from now on. The moment, by the monotonic clock."""
    lea.open(f"/admin/moderation/case/{case}/decide/").get_by_label("Reason").fill("Clear beyond doubt")
    lea.picture("5-decide")
    lea.page.get_by_role("button", name="Decide", exact=True).click()
    lea.page.wait_for_url("**/change/**")
    return time.monotonic()


def told(product: Product, case: int) -> str:
    """The path of the link to appeal, as the notice of the decision names it."""
    sent = (
        f"list({MODELS}.CaseNotice.objects.filter(decision__case={case}, state='sent').values_list('body', flat=True))"
    )
    until(lambda: product.ask(sent), within_s=90, what="the notice of the decision is sent")
    body = product.ask(sent)[-1]
    assert FACTS in body and CODE in body
    return next(urlsplit(word).path for word in body.split() if "/appeal/" in word)


def appealed(product: Product, browser: Browser, case: int, link: str) -> int:
    """The organisation appeals by the link, without a login. The appeal."""
    owner = Person(browser, product.url)
    owner.open(link).get_by_label("Why").first.fill("It was a lesson of chemistry; the page is a school's.")
    owner.picture("8-appeal")
    owner.page.get_by_role("button", name="Send the appeal").click()
    expect(owner.page.get_by_text("A-20").first).to_be_visible()
    owner.picture("9-appeal-taken")
    return int(product.ask(f"{MODELS}.Appeal.objects.get(decision__case={case}).pk"))


def overturned(lea: Person, sid: Person, appeal: int) -> None:
    """Somebody who had no part in it is given the appeal, and overturns the decision."""
    lea.open(f"/admin/moderation/appeal/{appeal}/assign/")
    lea.page.locator("#id_reviewer + .select2").click()
    lea.page.locator(".select2-search__field").fill("sid")
    lea.page.locator(".select2-results__option", has_text="sid").first.click()
    lea.page.get_by_label("Reason").fill("She had no part in it")
    lea.page.get_by_role("button", name="Assign", exact=True).click()
    lea.page.wait_for_url("**/change/**")
    sid.act(f"appeal/{appeal}", "start", "Start")
    sid.open(f"/admin/moderation/appeal/{appeal}/decide/")
    sid.picture("10-appeal-review")
    sid.page.locator("#id_outcome").select_option("overturned")
    sid.page.locator("#id_reasons").fill("It is a school's lesson. What was found does not hold.")
    sid.page.locator("form button[type=submit]").last.click()
    sid.page.wait_for_url("**/change/**")
    sid.picture("11-overturned")


@pytest.mark.req("MOD-08", "MOD-15", "MOD-20", "MOD-27", "MOD-29", "MOD-30", "MOD-34", "NOT-05")
def test_from_a_report_to_a_suspension_everywhere_and_by_an_appeal_back(
    product: Product, upstream: MockUpstream, workers: list[str], browser: Browser
) -> None:
    upstream.forget()
    key = customer(product, "drill")["keys"]["main"]
    product.ask(f"[{DESK}.worker(name, role).pk for name, role in {DUTY!r}.items()]")
    assert calls(workers, key) == ["stop"] * 3
    task_id = a_call_on_record(product, workers[0], key)
    streams = [Stream(url, key).open() for url in workers]
    until(lambda: all(stream.runs() for stream in streams), within_s=30, what="all streams run")

    case = reported(product, browser, task_id)
    lea, lou, sid = (Person(browser, product.url).log_in(name) for name in DUTY)
    triaged(lea, case)
    assert not any(stream.ended for stream in streams)

    at = confirmed(lea, case)
    assert calls(workers, key) == ["restricted"] * 3
    errors = [stream.close() for stream in streams]
    assert max(stream.ended for stream in streams) - at < 2
    assert {error["policy_code"] for error in errors} == {CODE}
    lea.picture("6-held")

    lou.act(f"case/{case}", "approve", "Approve")
    lou.picture("7-decided")
    overturned(lea, sid, appealed(product, browser, case, told(product, case)))
    assert calls(workers, key) == ["stop"] * 3

    # The whole story holds together, and so does the money.
    assert product.manage("verify_cases") == "All is well.\n"
    assert product.findings() == []
    lea.open(f"/admin/moderation/case/{case}/change/")
    lea.picture("12-case")
