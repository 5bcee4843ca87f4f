"""The orders that are measured with: of CNova, invoiced, each with a sale invoice of its own key."""

from typing import Any

from tests.keys import make_key
from tests.orders import cnova_order, sale

FIRST_NUMBER = 643_797


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
    return {
        "uniqueId": f"F64E3C1A{number:06}", "id": str(number), "productId": str(number), "ean": "7891234567895",
        "lockId": "00-1172452900788-01", "quantity": 1, "seller": "1", "name": f"Chaleira elétrica inox {number}",
        "refId": f"KETTLE-{number}", "price": 8721, "listPrice": 9721, "manualPrice": None, "tax": 0, "sellerSku": "18",
        "priceTags": [{"name": "DISCOUNT@SHIPPING", "value": -100, "isPercentual": False, "identifier": None}],
        "imageUrl": f"https://luxstore.example.com/arquivos/ids/{155390 + number}-55-55/kettle.jpg", "offerings": [],
        "detailUrl": f"/kettle-{number}/p", "components": [], "bundleItems": [], "params": [], "attachments": [],
        "itemAttachment": {"content": {}, "name": None}, "rewardValue": 0, "isGift": False, "shippingPrice": None,
        "additionalInfo": {
            "brandName": "Lux", "brandId": "2000000", "categoriesIds": "/1/", "productClusterId": "135,142",
            "commercialConditionId": "1", "offeringInfo": None, "offeringType": None, "offeringTypeId": None,
            "dimension": {"cubicweight": 0.7031, "height": 15, "length": 15, "weight": 1.2, "width": 15},
        },
        "priceDefinition": {
            "sellingPrices": [{"value": 8721, "quantity": 1}], "calculatedSellingPrice": 8721, "total": 8721,
        },
        "taxCode": None, "parentItemIndex": None, "parentAssemblyBinding": None, "callCenterOperator": None,
    }  # fmt: skip
