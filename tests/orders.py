"""Builds order documents as VTEX sends them (GET /api/oms/pvt/orders/{orderId}), for tests.

Keyword arguments are VTEX's own camelCase names; ABSENT leaves a field out, as old orders do.
"""

from typing import Any

from local.events import sample

KEY = "35260311222333000181550010006437971732194052"
"""A valid key of March 2026: invoice 643797, series 1."""

ABSENT: Any = object()

_INVOICED_AT = "2026-03-03T14:54:00.5436574+00:00"
_CONNECTOR = "http://cnovaintegration.vtexinternal.example/api/viavarejointegration/pub/luxstore"

PERSONAL: dict[str, Any] = {
    "clientProfileData": {
        "id": "clientProfileData",
        "email": "maria.marker@example.com",
        "firstName": "Maria-marker",
        "lastName": "Silva-marker",
        "documentType": "cpf",
        "document": "12345678909-marker",
        "phone": "+5511900000000-marker",
        "isCorporate": False,
    },
    "shippingData": {
        "address": {
            "receiverName": "Maria-marker",
            "postalCode": "01310-100-marker",
            "city": "São Paulo-marker",
            "street": "Avenida-marker",
            "number": "126-marker",
        },
        "contactInformation": [{"email": "contact.marker@example.com", "firstName": "Maria-marker"}],
    },
    "paymentData": {"transactions": [{"payments": [{"cardHolder": "MARIA-marker", "lastDigits": "1111-marker"}]}]},
    "invoiceData": {"address": {"street": "Rua-marker"}, "invoiceSubject": "Maria-marker"},
    "callCenterOperatorData": {"email": "operator.marker@example.com"},
    "followUpEmail": "follow.up.marker@example.com",
    "lastMessage": "Olá, Maria-marker",
    "openTextField": {"value": "presente para Ana-marker"},
}
"""What an order says of people. Each text holds `marker`, which may stand in nothing that is kept or sent."""


def cnova_order(*packages: Any, **changes: Any) -> dict[str, Any]:
    """Build an order of CNova, invoiced at VTEX, with these packages."""
    order: dict[str, Any] = {
        "orderId": "VVJ-975102-01",
        "sequence": "502559",
        "marketplaceOrderId": "975102-01",
        "marketplaceServicesEndpoint": _CONNECTOR,
        "sellerOrderId": "VVJ-975102-01",
        "origin": "Fulfillment",
        "affiliateId": "VVJ",
        "salesChannel": "2",
        "status": "invoiced",
        "workflowIsInError": False,
        "statusDescription": "Faturado",
        "value": 10221,
        "creationDate": "2026-03-02T11:58:40.0000000+00:00",
        "lastChange": _INVOICED_AT,
        "hostname": "luxstore",
        "invoicedDate": _INVOICED_AT,
        "marketplace": {"baseURL": _CONNECTOR, "isCertified": None, "name": "Casas Bahia Marketplace"},
        "customData": custom_apps("CN-Viavarejo-Integration"),
        "packageAttachment": {"packages": list(packages)},
    }
    return _changed(order, changes)


def own_order(*packages: Any, **changes: Any) -> dict[str, Any]:
    """Build an order of the store's own site, or of another marketplace: nothing in it speaks of CNova."""
    address = "http://oms.vtexinternal.com.br/api/oms?an=luxstore"
    own: dict[str, Any] = {
        "orderId": "1172452900788-01",
        "marketplaceOrderId": "",
        "marketplaceServicesEndpoint": address,
        "origin": "Marketplace",
        "affiliateId": "",
        "marketplace": {"baseURL": address, "isCertified": True, "name": "luxstore"},
        "customData": None,
    }
    return cnova_order(*packages, **own | changes)


def custom_apps(*ids: Any) -> dict[str, Any]:
    """Build an order's customData, with the data of these apps."""
    fields = {"marketplacePaymentMethod": "credit_card"}
    return {"customApps": [{"id": app, "major": 1, "fields": fields} for app in ids]}


def sale(number: Any = "643797", key: Any = KEY, **changes: Any) -> dict[str, Any]:
    """Build a sale invoice with nothing wrong."""
    package = sample("invoice") | {
        "invoiceNumber": number,
        "invoiceKey": key,
        "issuanceDate": "2026-03-03T14:53:16.5830000+00:00",
        "trackingNumber": "AA1554869884FD",
    }
    return _changed(package, changes)


def returned(value: Any = 10221, **changes: Any) -> dict[str, Any]:
    """Build a return invoice over so many cents."""
    refund: dict[str, Any] = {
        "type": "Input",
        "invoiceValue": value,
        "courier": None,
        "trackingNumber": None,
        "restitutions": {"Refund": {"value": 10221, "giftCardData": None, "items": []}},
    }
    return sale("24382", None, **refund | changes)


def _changed(document: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in (document | changes).items() if value is not ABSENT}
