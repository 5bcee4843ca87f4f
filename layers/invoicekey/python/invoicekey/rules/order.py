"""The slice of a VTEX order that is read (GET /api/oms/pvt/orders/{orderId}).

VTEX checks little of what sellers' systems write into an order. So nothing is refused here: a field that does not have
its documented shape counts as absent, to be judged as such. It must neither crash the check nor pass it.
"""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

LONGEST_AMOUNT = 15
"""Digits of cents beyond which a number is no amount of money."""


def _text(value: object) -> str | None:
    """Return a text without blanks around it, a whole number as text, and None for anything else."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value) if abs(value) < 10**64 else None
    if not isinstance(value, str):
        return None
    return value.encode("utf-8", "replace").decode().strip() or None


def _cents(value: object) -> int | None:
    """Return a non-negative whole number of cents, also from its decimal text; None for anything else."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= LONGEST_AMOUNT:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**LONGEST_AMOUNT else None


def _object(value: object) -> object:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[object]:
    """Return the entries of a list but for null ones; an entry of another shape is kept as an empty object."""
    return [_object(entry) for entry in value if entry is not None] if isinstance(value, list) else []


Text = Annotated[str | None, BeforeValidator(_text)]
Cents = Annotated[int | None, BeforeValidator(_cents)]


class _Slice(BaseModel):
    """A part of VTEX's camelCase JSON of which only the named fields are kept."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, frozen=True, extra="ignore")


class Package(_Slice):
    """One invoice of the order: an entry of packageAttachment.packages."""

    type: Text = None
    invoice_number: Text = None
    invoice_number_as_it_came: Any = Field(default=None, validation_alias="invoiceNumber", repr=False)
    """Whatever it is, with the blanks at its ends: VTEX stumbles over those too."""
    invoice_value: Cents = None
    invoice_key: Any = None
    """As it came, whatever it is: what is wrong with it matters."""
    invoice_url: Text = None
    embedded_invoice: Text = Field(default=None, repr=False)
    """The NF-e's XML, which names the customer: it is searched for its key and goes no further."""
    issuance_date: Text = None
    tracking_number: Text = None
    courier: Text = None

    @property
    def is_return(self) -> bool:
        """Say whether this is a return (type Input, in any case), not a sale."""
        return self.type is not None and self.type.casefold() == "input"

    @property
    def is_sale(self) -> bool:
        """Say whether this is a sale invoice (type Output, in any case, or no type at all)."""
        return self.type is None or self.type.casefold() == "output"


class _PackageAttachment(_Slice):
    packages: Annotated[list[Package], BeforeValidator(_objects)] = []


class _CustomApp(_Slice):
    id: Text = None


class _CustomData(_Slice):
    custom_apps: Annotated[list[_CustomApp], BeforeValidator(_objects)] = []


class _Marketplace(_Slice):
    base_url: Text = Field(default=None, alias="baseURL")
    name: Text = None


class Order(_Slice):
    """A VTEX order, as far as the judgement and the reports need it. Only `embedded_invoice` may name the customer."""

    order_id: Text = None
    status: Text = None
    affiliate_id: Text = None
    marketplace_order_id: Text = None
    marketplace_services_endpoint: Text = None
    invoiced_date: Text = None
    marketplace: Annotated[_Marketplace, BeforeValidator(_object)] = _Marketplace()
    custom_data: Annotated[_CustomData, BeforeValidator(_object)] = _CustomData()
    package_attachment: Annotated[_PackageAttachment, BeforeValidator(_object)] = _PackageAttachment()

    @property
    def sale_invoices(self) -> list[Package]:
        """List every sale invoice, in VTEX's order."""
        return [package for package in self.package_attachment.packages if package.is_sale]

    @property
    def returns(self) -> list[Package]:
        """List every return invoice, in VTEX's order."""
        return [package for package in self.package_attachment.packages if package.is_return]

    @property
    def custom_app_ids(self) -> Iterable[str]:
        """List the ids of the apps that left data in the order, such as CN-Viavarejo-Integration."""
        return [app.id for app in self.custom_data.custom_apps if app.id]

    @property
    def marketplace_addresses(self) -> Iterable[str]:
        """List what the order says of its marketplace: service endpoint, base URL, name."""
        told = (self.marketplace_services_endpoint, self.marketplace.base_url, self.marketplace.name)
        return [text for text in told if text]
