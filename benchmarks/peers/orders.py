"""What the two peers that are functions have in common: how an order is read, and what is wrong with its keys.

The key's rules are the product's own, so that what is compared is architecture.
"""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
from aws_lambda_powertools.utilities import parameters

from invoicekey.rules import access_key


def read_order(vtex: httpx.Client, account: str, order_id: str) -> dict[str, Any]:
    """Read an order at VTEX, raising httpx.HTTPError."""
    credentials: Any = parameters.get_secret(os.environ["VTEX_CREDENTIALS_SECRET_ARN"], transform="json", max_age=300)
    base = os.environ["VTEX_BASE_URL"].replace("{account}", account)
    key, token = credentials[account]["app_key"], credentials[account]["app_token"]
    headers = {"X-VTEX-API-AppKey": key, "X-VTEX-API-AppToken": token}
    answer = vtex.get(f"{base}/api/oms/pvt/orders/{order_id}", headers=headers)
    answer.raise_for_status()
    order: dict[str, Any] = answer.json()
    return order


def problems_of(order: dict[str, Any]) -> list[str]:
    """List what is wrong with an order's sale invoices; nothing where the order is another marketplace's."""
    affiliates = os.environ["CNOVA_AFFILIATE_IDS"].split(",")
    return list(_problems(order)) if order.get("affiliateId") in affiliates else []


def _problems(order: dict[str, Any]) -> Iterator[str]:
    year = datetime.now(UTC).year
    for package in (order.get("packageAttachment") or {}).get("packages") or []:
        if package.get("type") == "Output":
            number, text = package.get("invoiceNumber"), package.get("invoiceKey")
            key = access_key.parse(text)
            fault = access_key.first_fault(key, current_year=year) if key else "malformed" if text else "missing"
            if fault:
                yield f"invoice {number}: {fault}"
