"""The desk's list in a real browser, against the deployed stack: from the reminder's link to several orders at once."""

import json
from datetime import UTC, datetime, timedelta
from itertools import batched
from pathlib import Path
from urllib.parse import urljoin

import pytest
from boto3.dynamodb.types import TypeSerializer
from playwright.sync_api import Page, expect

from invoicekey.ledger.entries import order_key
from invoicekey.ledger.failures import Episode, Failure, Shown, State, attributes
from invoicekey.messages.links import Links, Target
from invoicekey.rules.notification import OrderRef
from local.stack import LocalStack
from local.watch import Watch, until
from tests.stack.shop import LISTED, Shop
from tests.stack.test_desk import browser, context, needs_browser, page, see_that_anybody_can_use
from tests.stack.test_stack import told

__all__ = ["browser", "context", "page"]
pytestmark = pytest.mark.stack


def reminded(stack: LocalStack, watch: Watch) -> str:
    """Let the account be reminded, and return the link that its reader finds."""
    before = len(watch.emails(kind="reminder"))
    stack.invoke("SendDigestFunction", {"reminder": True})
    reminders = until(
        lambda: [email for email in watch.emails(kind="reminder")[before:] if LISTED in email.subject], "the reminder"
    )
    (link,) = [line for line in reminders[-1].text.split("\n") if "/desk/" in line]
    return link


@needs_browser
def test_who_got_the_reminder_finds_one_puts_it_off_solves_the_others_and_keeps_the_list(
    shop: Shop, stack: LocalStack, watch: Watch, page: Page
) -> None:
    order_ids = [shop.invoice(LISTED) for _ in range(3)]
    assert shop.notify(*order_ids, account=LISTED) == [200, 200, 200]
    for order_id in order_ids:
        told(watch, order_id)
    link = reminded(stack, watch)
    page.goto(link)
    see_that_anybody_can_use(page)
    expect(page.locator(".rows li")).to_have_count(3)
    with page.expect_download() as download:
        page.get_by_role("link", name="Baixar em CSV").click()
    written = Path(download.value.path()).read_text(encoding="utf-8-sig")
    assert all(order_id in written for order_id in order_ids)

    page.get_by_role("searchbox").fill(order_ids[0].removeprefix("VVJ-").lower())
    page.get_by_role("button", name="Filtrar").click()
    page.get_by_label(f"Escolher {order_ids[0]}").check()
    page.get_by_role("button", name="Adiar").click()
    expect(page.get_by_role("status")).to_contain_text("Pronto. Adiados: 1.")

    page.goto(link)
    page.get_by_label("Todos desta página").check()
    page.get_by_role("button", name="Dar por resolvidos").click()
    expect(page.get_by_role("status")).to_contain_text("Pronto. Dados por resolvidos: 2.")
    page.get_by_role("link", name="Arquivados").click()
    expect(page.locator(".rows li")).to_have_count(2)
    see_that_anybody_can_use(page)
    page.get_by_role("link", name="Adiados").click()
    page.get_by_role("link", name=order_ids[0]).click()
    expect(page.get_by_role("heading", name=order_ids[0])).to_be_visible()


MANY = "manyshop"
"""An account that has nothing but a long list."""
NUMBERS = range(700_001, 710_001)


def put_many(stack: LocalStack) -> None:
    """Let the ledger hold ten thousand open failures, as checks would have written them."""
    dynamodb, table = stack.client("dynamodb"), stack.outputs["LedgerTableName"]
    serialize, now = TypeSerializer().serialize, datetime.now(UTC)
    for numbers in batched(NUMBERS, 25, strict=False):
        puts = []
        for number in numbers:
            opened_at = now - timedelta(days=9) + timedelta(minutes=number - NUMBERS[0])
            errors = (Shown("missing", str(number), has_suggestion=False),)
            ref = OrderRef(MANY, f"VVJ-{number}-01")
            listed = Failure(ref, State.OPEN, opened_at, errors, episodes=(Episode(opened_at, ("missing",)),))
            item = {"pk": order_key(ref), **attributes(listed)}
            puts.append({"PutRequest": {"Item": {name: serialize(value) for name, value in item.items()}}})
        dynamodb.batch_write_item(RequestItems={table: puts})


@needs_browser
def test_ten_thousand_are_paged_and_each_of_them_is_found(stack: LocalStack, page: Page) -> None:
    put_many(stack)
    stored = stack.client("secretsmanager").get_secret_value(SecretId=stack.outputs["DeskSecretArn"])
    token = Links("", [json.loads(stored["SecretString"])["current"]]).token(Target(MANY))
    page.goto(urljoin(stack.outputs["HookUrl"], f"/desk/{token}"))
    expect(page.get_by_text("1–50 de 10.000").first).to_be_visible()
    expect(page.locator(".rows li").first).to_contain_text(f"VVJ-{NUMBERS[0]}-01")

    page.get_by_role("searchbox").fill(str(NUMBERS[7_777]))
    page.get_by_role("button", name="Filtrar").click()
    expect(page.locator(".rows li")).to_have_count(1)
    expect(page.locator(".rows li")).to_contain_text(f"VVJ-{NUMBERS[7_777]}-01")

    page.goto(urljoin(stack.outputs["HookUrl"], f"/desk/{token}?page=200"))
    expect(page.get_by_text("9.951–10.000 de 10.000").first).to_be_visible()
    expect(page.locator(".rows li").last).to_contain_text(f"VVJ-{NUMBERS[-1]}-01")
