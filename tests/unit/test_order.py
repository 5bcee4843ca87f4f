"""The slice of an order: whatever VTEX sends is read, and nothing is kept that is not needed."""

import json
from typing import Any

import pytest

from invoicekey.rules.order import Order, Package
from tests.keys import make_xml
from tests.orders import ABSENT, KEY, PERSONAL, cnova_order, custom_apps, own_order, returned, sale

NO_TEXT = [None, ABSENT, "", " \t\n", "\N{NO-BREAK SPACE}", True, False, 2.5, float("nan"), [], ["x"], {}, {"x": 1}]


def package_of(**changes: Any) -> Package:
    (package,) = Order.model_validate(cnova_order(sale(**changes))).package_attachment.packages
    return package


class TestAnOrderAsItShouldBe:
    def test_is_read_in_vtexs_names(self) -> None:
        order = Order.model_validate(cnova_order(sale()))
        assert order.order_id == "VVJ-975102-01"
        assert order.status == "invoiced"
        assert order.affiliate_id == "VVJ"
        assert order.marketplace_order_id == "975102-01"
        assert order.invoiced_date == "2026-03-03T14:54:00.5436574+00:00"
        assert list(order.custom_app_ids) == ["CN-Viavarejo-Integration"]
        address = "http://cnovaintegration.vtexinternal.example/api/viavarejointegration/pub/luxstore"
        assert list(order.marketplace_addresses) == [address, address, "Casas Bahia Marketplace"]

    def test_has_its_packages_read(self) -> None:
        package = package_of(invoiceUrl="https://example.com/", embeddedInvoice="<NFe/>")
        assert package == Package(
            type="Output",
            invoice_number="643797",
            invoice_number_as_it_came="643797",
            invoice_value=10221,
            invoice_key=KEY,
            invoice_url="https://example.com/",
            embedded_invoice="<NFe/>",
            issuance_date="2026-03-03T14:53:16.5830000+00:00",
            tracking_number="AA1554869884FD",
            courier="Correios",
        )

    def test_has_sales_and_returns_in_vtexs_order(self) -> None:
        order = Order.model_validate(cnova_order(sale("1"), returned(1), sale("2"), sale("3", type="?"), returned(2)))
        assert [package.invoice_number for package in order.sale_invoices] == ["1", "2"]
        assert [package.invoice_value for package in order.returns] == [1, 2]

    def test_may_lack_all_that_old_orders_lack(self) -> None:
        order = Order.model_validate(
            {"hostname": "fastshop", "packageAttachment": {"packages": [{"invoiceKey": None}]}}
        )
        assert order.sale_invoices == [Package()]
        assert order.custom_app_ids == []
        assert order.marketplace_addresses == []

    def test_does_not_change(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Order().status = "invoiced"  # type: ignore[misc]


class TestText:
    @pytest.mark.parametrize("value", NO_TEXT)
    def test_of_another_shape_or_blank_is_absent(self, value: object) -> None:
        assert package_of(trackingNumber=value).tracking_number is None

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("\n Correios SEDEX\t", "Correios SEDEX"), ("Jos\ud800", "Jos?"), (0, "0"), (-1, "-1"), (643797, "643797"),
            (10**64 - 1, "9" * 64), (10**64, None), (-(10**64), None), (10**4000, None),
        ],
    )  # fmt: skip
    def test_loses_the_blanks_around_it_and_may_come_as_a_number_of_64_digits(
        self, value: object, text: str | None
    ) -> None:
        assert package_of(number=value).invoice_number == text


class TestAnAmount:
    @pytest.mark.parametrize(
        ("value", "cents"),
        [(0, 0), (10221.0, 10221), ("10221", 10221), ("000", 0), (10**15 - 1, 10**15 - 1), ("9" * 15, 10**15 - 1)],
    )
    def test_is_a_whole_number_of_cents_or_its_text(self, value: object, cents: int) -> None:
        assert package_of(invoiceValue=value).invoice_value == cents

    @pytest.mark.parametrize(
        "value",
        [
            *NO_TEXT, -1, "-1", "102.21", "102,21", " 1", "1 ", "1_0", "+1", "1e3", "\N{ARABIC-INDIC DIGIT ONE}", "²",
            10**15, "1" * 16, 1e300, float("inf"), float("-inf"),
        ],
    )  # fmt: skip
    def test_of_another_shape_is_absent(self, value: object) -> None:
        assert package_of(invoiceValue=value).invoice_value is None


class TestAKeyAndANumber:
    @pytest.mark.parametrize(
        "value", [None, "", " ", KEY, f" {KEY}\n", " 643797/2\t", "\ud800", 0, 3.5, False, [KEY], {"a": [None]}]
    )
    def test_are_kept_as_they_came(self, value: object) -> None:
        assert package_of(key=value).invoice_key is value
        assert package_of(number=value).invoice_number_as_it_came is value
        assert package_of(key=ABSENT).invoice_key is None

    def test_of_a_number_nothing_is_shown_that_stood_around_it(self) -> None:
        assert "643797 " not in repr(package_of(number=" 643797 \n"))


class TestAnObjectOrAList:
    @pytest.mark.parametrize("value", [None, ABSENT, "x", 7, True, 2.5, [], [{}]])
    def test_of_another_shape_is_empty(self, value: object) -> None:
        order = Order.model_validate(own_order(packageAttachment=value, customData=value, marketplace=value))
        assert order.package_attachment.packages == []
        assert order.custom_app_ids == []
        assert len(list(order.marketplace_addresses)) == 1

    @pytest.mark.parametrize("value", [None, ABSENT, "x", 7, {}, {"0": {}}])
    def test_of_entries_is_empty_where_it_is_no_list(self, value: object) -> None:
        changes = {"packageAttachment": {"packages": value}, "customData": {"customApps": value}}
        changes = {name: {k: v for k, v in part.items() if v is not ABSENT} for name, part in changes.items()}
        order = Order.model_validate(own_order(**changes))
        assert order.package_attachment.packages == []
        assert order.custom_app_ids == []

    def test_loses_its_null_entries_alone(self) -> None:
        order = Order.model_validate(cnova_order(None, "x", 7, [], sale(), None))
        assert order.sale_invoices == [Package(), Package(), Package(), package_of()]

    def test_of_apps_gives_the_ids_that_are_texts(self) -> None:
        apps = custom_apps(None, "", "a", ["b"], 5, "c")
        assert list(Order.model_validate(cnova_order(customData=apps)).custom_app_ids) == ["a", "5", "c"]


class TestWhatIsAbsent:
    def test_is_none_in_an_invoice(self) -> None:
        assert set(Package.model_validate({}).model_dump().values()) == {None}

    def test_is_none_or_empty_in_an_order(self) -> None:
        assert Order.model_validate({}).model_dump() == {
            **dict.fromkeys(("order_id", "status", "affiliate_id", "marketplace_order_id", "invoiced_date")),
            "marketplace_services_endpoint": None,
            "marketplace": {"base_url": None, "name": None},
            "custom_data": {"custom_apps": []},
            "package_attachment": {"packages": []},
        }

    def test_makes_an_app_without_an_id(self) -> None:
        order = Order.model_validate({"customData": {"customApps": [{}]}})
        assert [app.id for app in order.custom_data.custom_apps] == [None]

    def test_makes_an_invoice_without_a_type_a_sale_and_no_return(self) -> None:
        package = Package.model_validate({})
        assert (package.is_sale, package.is_return) == (True, False)


class TestWhatIsKept:
    def test_is_a_short_list_of_fields(self) -> None:
        kept = Order.model_validate(cnova_order(sale(), returned(), **PERSONAL)).model_dump()
        assert set(kept) == {
            "order_id", "status", "affiliate_id", "marketplace_order_id", "marketplace_services_endpoint",
            "invoiced_date", "marketplace", "custom_data", "package_attachment",
        }  # fmt: skip
        assert set(kept["marketplace"]) == {"base_url", "name"}
        assert kept["custom_data"] == {"custom_apps": [{"id": "CN-Viavarejo-Integration"}]}
        assert {frozenset(package) for package in kept["package_attachment"]["packages"]} == {
            frozenset({
                "type", "invoice_number", "invoice_number_as_it_came", "invoice_value", "invoice_key", "invoice_url",
                "embedded_invoice", "issuance_date", "tracking_number", "courier",
            }),
        }  # fmt: skip

    def test_says_nothing_of_the_customer(self) -> None:
        assert all("marker" in json.dumps(part) for part in PERSONAL.values())
        items = [{"description": "marker", "itemIndex": 0}]
        package = sale(items=items, courierStatus={"data": [{"city": "marker"}]}, trackingUrl="https://marker.example")
        order = Order.model_validate(cnova_order(package, **PERSONAL, items=items, sellers=[{"name": "marker"}]))
        assert "marker" not in order.model_dump_json()

    def test_does_not_show_the_xml_of_an_invoice_where_an_order_is_printed(self) -> None:
        order = Order.model_validate(cnova_order(sale(embeddedInvoice=make_xml(KEY) + "marker")))
        assert order.sale_invoices[0].embedded_invoice
        assert "marker" not in repr(order)
        assert "nfeProc" not in str(order)
