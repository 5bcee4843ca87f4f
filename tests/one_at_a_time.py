"""Lets the calls that threads make to moto pass one after the other: a transaction there copies the whole table."""

import threading
from typing import Any

import pytest
from botocore.client import BaseClient


def calls_pass_one_at_a_time(patch: pytest.MonkeyPatch) -> None:
    """Do so until the patch is undone."""
    client: Any = BaseClient
    call, lock = client._make_api_call, threading.RLock()

    def in_turn(self: Any, operation: str, arguments: Any) -> Any:
        with lock:
            return call(self, operation, arguments)

    patch.setattr(BaseClient, "_make_api_call", in_turn)
