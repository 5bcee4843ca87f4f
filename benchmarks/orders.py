"""The orders that are measured with: of CNova, invoiced, each with a sale invoice of its own key."""

import json
from pathlib import Path
from typing import Any

from tests.keys import make_key
from tests.orders import cnova_order, sale

FIRST_NUMBER = 643_797
_ITEM: dict[str, Any] = json.loads((Path(__file__).parent / "item.json").read_text("utf-8"))


def key_of(number: int) -> str:
    """Return the good key of the order with this number: a key belongs to the first order that shows it."""
    return make_key(month=3, number=FIRST_NUMBER + number)


def good(order_id: str, number: int, **changes: Any) -> dict[str, Any]:
    """Return an order with nothing wrong."""
    return with_key(order_id, number, key_of(number), **changes)


def with_key(order_id: str, number: int, key: str | None, **changes: Any) -> dict[str, Any]:
    """Return an order whose invoice carries this key, be it good or not."""
    return cnova_order(sale(str(FIRST_NUMBER + number), key), orderId=order_id, affiliateId="VVJ", **changes)


def items_of(size: int) -> list[dict[str, Any]]:
    """Return as many of VTEX's order items as come to so many bytes of JSON: about 1 KB each, nested as they are."""
    return [_item(number) for number in range(size // len(str(_item(0))))]


def _item(number: int) -> dict[str, Any]:
    return _ITEM | {
        "uniqueId": f"F64E3C1A{number:06}",
        "id": str(number),
        "name": f"Chaleira elétrica inox {number}",
        "refId": f"KETTLE-{number}",
        "productId": str(number),
        "imageUrl": f"https://luxstore.example.com/arquivos/ids/{155390 + number}-55-55/kettle.jpg",
        "detailUrl": f"/kettle-{number}/p",
    }
