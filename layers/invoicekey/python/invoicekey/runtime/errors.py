"""What can go wrong at the borders, as the steps of a check see it."""


class RetryLater(Exception):
    """Something outside did not give what it should; the message goes back to the queue.

    `why` is short and free of secrets and of anybody's data; `wait` is what the other side asked for, in seconds.
    """

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait = wait


class LedgerUnavailable(RetryLater):
    """The ledger gave no answer, or a refusal: which reports are pending there is not known."""


class CredentialsRefused(RetryLater):
    """VTEX refused the account's appKey and appToken, or there are none."""


class RateLimited(RetryLater):
    """VTEX answered 429 or 503, now or a while ago: nothing of the account is read until the wait is over."""


class OutOfTime(RetryLater):
    """It is not this check's turn: time, the rate limit or another environment's report leave no room. No trouble."""


class NoTurn(OutOfTime):
    """The account's rate limit allows no more now."""


class Unforeseen(Exception):
    """What leaves a function's handler where something failed that nobody foresaw, in the place of that error.

    Lambda's runtime logs the text of what leaves a handler, and an error's text may hold what an order or a form does.
    """


class OrderNotFound(Exception):
    """VTEX answered 404: the account does not know the order (yet)."""


class Conflict(Exception):
    """The ledger holds something newer than what was read; the check is to be done anew."""
