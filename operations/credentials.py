"""`make credentials`: asks for a VTEX account's appKey and appToken without showing them, and writes the secret."""

import getpass
import re
import sys

from operations.deployment import Deployment, Trouble, from_environment

_ACCOUNT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def main() -> int:
    """Ask, write, say what is next."""
    try:
        account = keep(from_environment())
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("\nNothing was changed.", file=sys.stderr)
        return 130
    print(f"The credentials of {account} are kept. The functions take them up within five minutes.")
    return 0


def keep(deployment: Deployment) -> str:
    """Ask for an account's credentials and add them to the secret; return the account."""
    secret = deployment.read_secret("VtexCredentialsSecretArn")
    known = ", ".join(sorted(secret)) or "none yet"
    account = input(f"VTEX account (credentials are kept of: {known}): ").strip()
    if not _ACCOUNT.fullmatch(account):
        raise Trouble(
            f"{account!r} is no account's name: expected the NAME of https://NAME.myvtex.com, in lower-case letters, "
            "digits and dashes. Nothing was changed."
        )
    app_key = _ask("appKey")
    app_token = _ask("appToken")
    deployment.write_secret(
        "VtexCredentialsSecretArn", {**secret, account: {"app_key": app_key, "app_token": app_token}}
    )
    return account


def _ask(name: str) -> str:
    value = getpass.getpass(f"{name} (not shown): ").strip()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise Trouble(f"That is no {name}: expected visible ASCII characters without blanks. Nothing was changed.")
    return value


if __name__ == "__main__":
    raise SystemExit(main())
