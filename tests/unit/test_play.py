"""Playing the loop by hand, on the stack of `make up`."""

import pytest

from invoicekey.rules import access_key
from local.play import a_key


@pytest.mark.parametrize("number", ["643802", "1", "999999999", "", "643797/2", "9" * 44])
def test_an_order_is_mended_with_a_good_key_of_its_invoice(number: str) -> None:
    key = access_key.parse(a_key(number))

    assert key is not None
    assert access_key.first_fault(key, current_year=2026) is None
    assert key.number == (int(number) if number.isdigit() and len(number) <= 9 else 1)
