"""Values in DynamoDB's form are what boto3 makes of them, and what it reads of them."""

from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from hypothesis import given
from hypothesis import strategies as st

from invoicekey.ledger.values import plain, typed

write: Any = TypeSerializer().serialize
read: Any = TypeDeserializer().deserialize
numbers = st.integers(-(10**37), 10**37) | st.decimals(-(10**9), 10**9, places=6)
texts_at_once = st.sets(st.text(), min_size=1) | st.frozensets(st.text(), min_size=1)
held = st.recursive(
    st.none() | st.booleans() | st.text() | numbers | texts_at_once,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(held)
def test_a_value_is_written_as_boto3_writes_it(value: Any) -> None:
    assert read(typed(value)) == read(write(value))


@given(held)
def test_a_value_is_read_as_boto3_reads_it(value: Any) -> None:
    assert plain(write(value)) == read(write(value))


def test_a_number_is_read_exactly() -> None:
    assert plain({"N": "1767225600.123456"}) == Decimal("1767225600.123456")


@pytest.mark.parametrize("value", [1.5, b"bytes", set(), {1, 2}, type], ids=repr)
def test_what_the_ledger_does_not_hold_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        typed(value)


@pytest.mark.parametrize("written", [{"B": b"x"}, {"NS": ["1"]}], ids=repr)
def test_what_the_ledger_does_not_hold_is_not_read(written: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        plain(written)
