"""Where operators write an account's own credentials: what stands there then, and what they read when it fails."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from operations.deployment.credentials import CredentialsPlace
from operations.deployment.stack import NotUnderstood, Trouble

PREFIX = "/vtex-credentials/shops/"


@pytest.fixture
def ssm(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ssm", region_name="sa-east-1")


@pytest.fixture
def place(ssm: Any) -> CredentialsPlace:
    return CredentialsPlace(ssm, PREFIX, "alias/aws/ssm")


class Refusing:
    """Parameter Store, which refuses everything with one code."""

    def __init__(self, code: str) -> None:
        self._code = code

    def __getattr__(self, operation: str) -> Any:
        def refuse(**_: object) -> None:
            raise ClientError({"Error": {"Code": self._code, "Message": "value TOKEN"}}, operation)

        return refuse


def test_credentials_are_kept_encrypted_in_the_account_s_own_place(ssm: Any, place: CredentialsPlace) -> None:
    place.put("luxstore", "KEY", "TOKEN")

    kept = ssm.get_parameter(Name=f"{PREFIX}luxstore", WithDecryption=True)["Parameter"]
    assert (kept["Type"], json.loads(kept["Value"])) == ("SecureString", {"app_key": "KEY", "app_token": "TOKEN"})


def test_each_version_of_an_account_s_credentials_has_a_stamp_of_its_own(place: CredentialsPlace) -> None:
    first, second = place.put("luxstore", "KEY", "OLD"), place.put("luxstore", "KEY", "NEW")

    assert (first.split()[0], second.split()[0]) == ("v1", "v2")


def test_which_accounts_have_credentials_of_their_own_is_seen(place: CredentialsPlace) -> None:
    accounts = [f"shop-{number}" for number in range(25)]
    for account in accounts[::2]:
        place.put(account, "KEY", "TOKEN")

    assert place.exists(accounts) == set(accounts[::2])


def test_deleted_credentials_are_gone_with_their_history(ssm: Any, place: CredentialsPlace) -> None:
    place.put("luxstore", "KEY", "TOKEN")
    place.delete("luxstore")

    assert place.exists(["luxstore"]) == set()
    with pytest.raises(ssm.exceptions.ParameterNotFound):
        ssm.get_parameter_history(Name=f"{PREFIX}luxstore")


def test_to_delete_what_is_not_there_is_no_trouble(place: CredentialsPlace) -> None:
    place.delete("luxstore")


@pytest.mark.parametrize("token", ["", "a b", "a\n", "ção"], ids=repr)
def test_what_cannot_be_sent_to_vtex_is_not_written(place: CredentialsPlace, token: str) -> None:
    with pytest.raises(NotUnderstood, match="luxstore: the appToken must be visible ASCII"):
        place.put("luxstore", "KEY", token)

    assert place.exists(["luxstore"]) == set()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ParameterLimitExceeded", "10,000 parameters"),
        ("InvalidKeyId", "OperationsKey"),
        ("TooManyUpdates", "somebody else"),
        ("ThrottlingException", "in a minute"),
        ("AccessDeniedException", "your AWS identity may not do that"),
    ],
)
def test_a_refused_write_says_what_to_do_and_shows_no_secret(code: str, says: str) -> None:
    with pytest.raises(Trouble, match="The credentials of luxstore cannot be written, and are as they were") as caught:
        CredentialsPlace(Refusing(code), PREFIX, "key").put("luxstore", "KEY", "TOKEN")

    assert says in str(caught.value)
    assert "TOKEN" not in str(caught.value)


def test_where_parameter_store_cannot_be_asked_nobody_is_said_to_have_none() -> None:
    with pytest.raises(Trouble, match="cannot be seen which accounts"):
        CredentialsPlace(Refusing("AccessDeniedException"), PREFIX, "key").exists(["luxstore"])
