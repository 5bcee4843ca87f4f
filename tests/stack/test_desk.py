"""The desk in a real browser, against the deployed stack: who got an alert reads, acts, and sees what came of it."""

import itertools
import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from itsdangerous import TimestampSigner, URLSafeTimedSerializer
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect, sync_playwright

from invoicekey.messages.links import Links, Target
from local import events
from local.processes import LOOPBACK
from local.stack import LocalStack
from local.watch import Json, Watch, until
from tests.keys import make_key
from tests.stack.shop import AT_DESK, Shop
from tests.stack.test_stack import told

pytestmark = pytest.mark.stack

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (Debian: apt install chromium)")
PHONE: ViewportSize = {"width": 360, "height": 740}
WIDER_PHONE: ViewportSize = {"width": 390, "height": 860}
DESKTOP: ViewportSize = {"width": 1000, "height": 860}
CUT_CHOICES = """() => [...document.querySelectorAll("select")].flatMap(select => [...select.options].filter(option => {
    const alone = select.cloneNode(false);
    alone.append(option.cloneNode(true));
    alone.style.cssText = "position: absolute; width: auto; min-width: 0; max-width: none";
    select.after(alone);
    const needed = alone.getBoundingClientRect().width;
    alone.remove();
    return needed > select.getBoundingClientRect().width;
}).map(option => option.text))"""
"""The choices that would be cut if they were chosen: each alone, a select is as wide as it needs to be."""
IN_SECONDS = 30_000
LOOK = "Pus a chave na VTEX: conferir agora"
SOLVED, PUT_OFF, UNDO = "Resolvido no portal da Casas Bahia", "Adiar", "Desfazer"
_numbers = itertools.count(700100)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport=PHONE, locale="pt-BR", permissions=["clipboard-read", "clipboard-write"])
    opened.set_default_timeout(IN_SECONDS)
    expect.set_options(timeout=IN_SECONDS)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def another_key() -> str:
    """Return a good key that no other order has shown."""
    return make_key(tax_id=events.CNPJ, month=11, number=next(_numbers))


def failing(shop: Shop, watch: Watch, invoice_key: str | None = None) -> tuple[str, str]:
    """Let an order fail, and return its id and the link that its alert's reader finds."""
    order_id = shop.invoice(AT_DESK, invoice_key=invoice_key)
    assert shop.notify(order_id, account=AT_DESK) == [200]
    told(watch, order_id)
    (email,) = until(lambda: watch.emails(order_id), f"the alert of {order_id}")
    (link,) = [line for line in email.text.split("\n") if "/desk/" in line]
    return order_id, link


def item(stack: LocalStack, order_id: str) -> Json:
    key = {"pk": {"S": f"order#{AT_DESK}#{order_id}"}}
    table = stack.outputs["LedgerTableName"]
    found: Json = stack.client("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
    return found


def asked(link: str, method: str = "GET") -> tuple[int, dict[str, str], str]:
    """Ask for a page without a browser, and return status, headers and body."""
    address = urlsplit(link)
    # Browsers know every name under localhost, and the resolvers of some systems do not.
    connection = HTTPConnection(LOOPBACK, address.port or 80, timeout=30)
    try:
        connection.request(method, address.path, headers={"Host": address.netloc})
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read().decode()
    finally:
        connection.close()


def see_that_anybody_can_use(page: Page) -> None:
    """Hold a page against the rules of accessibility, and see that nothing is cut, on a telephone neither."""
    found = Axe().run(page)
    assert found.response["violations"] == [], found.generate_report()
    for size in (DESKTOP, WIDER_PHONE):
        page.set_viewport_size(size)
        assert page.evaluate(CUT_CHOICES) == []
    page.set_viewport_size(PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.emulate_media(color_scheme="dark")
    found = Axe().run(page, options={"runOnly": ["color-contrast"]})
    assert found.response["violations"] == [], found.generate_report()


@needs_browser
def test_who_got_the_alert_copies_the_key_mends_the_order_and_sees_it_closed(
    shop: Shop, stack: LocalStack, watch: Watch, page: Page
) -> None:
    key = another_key()
    order_id, link = failing(shop, watch, invoice_key=f"NFe{key}")
    page.goto(link)
    expect(page.get_by_role("heading", name=order_id)).to_be_visible()
    see_that_anybody_can_use(page)

    page.get_by_role("button", name="Copiar").click()
    expect(page.get_by_role("button", name="Copiada")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "account": AT_DESK, "invoice_key": copied})
    page.get_by_role("button", name=LOOK).click()

    expect(page.get_by_text("Em ordem na VTEX")).to_be_visible()
    assert copied == key
    (_, last) = told(watch, order_id, times=2)
    assert last["data"]["reason"] == "ok"
    (check,) = [check for check in watch.checks(order_id) if "desk" in check["sources"]]
    assert check["outcome"] == "ok"


@needs_browser
def test_a_failure_is_dismissed_put_off_and_each_taken_back(
    shop: Shop, stack: LocalStack, watch: Watch, page: Page
) -> None:
    order_id, link = failing(shop, watch)
    page.goto(link)
    page.get_by_role("button", name=PUT_OFF).click()
    expect(page.get_by_role("status")).to_have_text("Pronto: adiado.")
    assert "snoozed#" in item(stack, order_id)["failures"]["S"]
    page.get_by_role("button", name=UNDO).click()
    expect(page.get_by_role("status")).to_have_text("Pronto: desfeito.")

    page.get_by_label("Como foi resolvido").select_option("support")
    page.get_by_role("button", name=SOLVED).click()
    expect(page.get_by_role("status")).to_have_text("Pronto: dado por resolvido.")
    see_that_anybody_can_use(page)
    dismissal = until(lambda: [r for r in watch.records(order_id) if r["data"].get("reason")], "its record")[0]
    assert dismissal["data"]["reason"] == "dismissed"

    page.get_by_role("button", name=UNDO).click()
    expect(page.get_by_text("Em aberto desde")).to_be_visible()
    expect(page.locator("[data-checking]")).to_have_count(0)
    until(lambda: len(watch.records(order_id)) == 3, "it is reported anew")


@needs_browser
def test_without_script_everything_works_but_the_copy_button(
    shop: Shop, stack: LocalStack, watch: Watch, browser: Browser
) -> None:
    key = another_key()
    order_id, link = failing(shop, watch, invoice_key=f"NFe{key[:-3]} {key[-3:]}")
    context = browser.new_context(java_script_enabled=False, viewport=PHONE, locale="pt-BR")
    context.set_default_timeout(IN_SECONDS)
    page = context.new_page()
    page.goto(link)
    expect(page.get_by_role("button", name="Copiar")).to_be_hidden()
    expect(page.locator("code.key")).to_have_text(key)
    stack.vtex("POST", "invoice-key", {"order_id": order_id, "account": AT_DESK, "invoice_key": key})
    page.get_by_role("button", name=LOOK).click()
    expect(page.get_by_text("Em ordem na VTEX")).to_be_visible()
    context.close()


@needs_browser
def test_of_two_people_at_one_order_the_second_one_learns_what_the_first_one_did(
    shop: Shop, watch: Watch, context: BrowserContext
) -> None:
    _, link = failing(shop, watch)
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        page.goto(link)
    first.get_by_role("button", name=SOLVED).click()
    expect(first.get_by_role("status")).to_have_text("Pronto: dado por resolvido.")

    second.get_by_role("button", name=PUT_OFF).click()
    expect(second.get_by_text("Nada foi feito")).to_be_visible()
    see_that_anybody_can_use(second)
    second.get_by_role("link", name="Voltar").click()
    expect(second.get_by_text("Dado por resolvido em")).to_be_visible()


@needs_browser
def test_the_figures_of_an_account_can_be_used_by_anybody(
    shop: Shop, stack: LocalStack, watch: Watch, page: Page
) -> None:
    _, link = failing(shop, watch)
    stored = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["DeskSecretArn"])
    of_list = Links("", [json.loads(stored["SecretString"])["current"]]).token(Target(AT_DESK))
    page.goto(f"{link.rpartition('/')[0]}/{of_list}?view=figures")
    expect(page.get_by_role("heading", name="Números das últimas 12 semanas")).to_be_visible()
    expect(page.get_by_role("img", name="Abertos e encerrados por semana")).to_be_visible()
    page.get_by_text("Ver os números em tabela").first.click()
    expect(page.get_by_role("cell").first).to_be_visible()
    see_that_anybody_can_use(page)


def test_a_scanner_that_opens_a_link_again_and_again_changes_nothing(
    shop: Shop, stack: LocalStack, watch: Watch
) -> None:
    order_id, link = failing(shop, watch)
    until(lambda: item(stack, order_id)["report"]["M"]["alerted"] == {"BOOL": True}, "its alert is noted")
    before = item(stack, order_id)
    answers = [asked(link, method) for method in ("GET", "HEAD") * 5]
    assert {status for status, _, _ in answers} == {200}
    assert item(stack, order_id) == before
    assert len(watch.checks(order_id)) == 1


def test_every_answer_keeps_the_link_to_itself(shop: Shop, watch: Watch) -> None:
    _, link = failing(shop, watch)
    for address, expected in ((link, 200), (link[:-5], 403)):
        status, headers, body = asked(address)
        assert status == expected
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Robots-Tag"] == "noindex"
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'")
        assert "unsafe-inline" not in policy
        assert not re.findall(r'(?:src|href|action)="(?!https://deskshop\.myvtex\.com/|data:|[A-Za-z0-9_.?=-]*")', body)


def test_links_that_are_forged_cut_or_over_open_nothing(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    _, link = failing(shop, watch)
    address, _, token = link.rpartition("/")
    secret = json.loads(
        stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["DeskSecretArn"])["SecretString"]
    )
    over = a_month_old(secret["current"], token)
    forged = Links("", ["a guess"]).token(Links("", [secret["current"]]).read(token, datetime.now(UTC)))
    answers = {
        name: asked(f"{address}/{bad}") for name, bad in {"cut": token[:-1], "forged": forged, "over": over}.items()
    }
    assert {name: status for name, (status, _, _) in answers.items()} == {"cut": 403, "forged": 403, "over": 410}
    assert "O próximo lembrete traz um novo." in answers["over"][2]


def a_month_old(key: str, token: str) -> str:
    """Sign what a token names as it would have been signed 31 days ago."""

    class Then(TimestampSigner):
        def get_timestamp(self) -> int:
            return int((datetime.now(UTC) - timedelta(days=31)).timestamp())

    links = Links("", [key])
    now = links._serializer
    then = URLSafeTimedSerializer(key, salt=now.salt, signer=Then, signer_kwargs=now.signer_kwargs)
    return str(then.dumps(now.loads(token)))


def test_the_functions_log_no_link(shop: Shop, stack: LocalStack, watch: Watch) -> None:
    _, link = failing(shop, watch)
    token = link.rpartition("/")[2]
    asked(link)
    asked(link[:-2])
    log = Path(stack.home / "emulator.log").read_text(errors="replace")
    assert token not in "\n".join(line for line in log.split("\n") if line.startswith("{"))
