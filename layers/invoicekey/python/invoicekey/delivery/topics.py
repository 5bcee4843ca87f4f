"""The two topics: whether they have a confirmed subscription, and the notices that the guard publishes."""

import json
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from invoicekey.delivery.queues import AlertTopic, alert_entry
from invoicekey.messages.notices import Notice
from invoicekey.runtime.errors import RetryLater

if TYPE_CHECKING:
    from mypy_boto3_sns import SNSClient

MOST_ACCOUNTS = 1000
"""In the attribute `account`, for filter policies: a message holds 256 KiB with all that belongs to it."""
TYPE = "operations"
"""The attribute `type` of these notices, for filter policies."""


class Topics:
    """The topics, by their ARNs. Both methods raise RetryLater where SNS gives no answer."""

    def __init__(self, sns: "SNSClient") -> None:
        self._sns = sns

    def has_confirmed_subscription(self, arn: str) -> bool:
        """Say whether the topic has a confirmed subscription; one click in an e-mail ends one."""
        try:
            attributes = self._sns.get_topic_attributes(TopicArn=arn)["Attributes"]
        except (BotoCoreError, ClientError) as error:
            raise RetryLater(f"SNS did not say who listens: {type(error).__name__}") from error
        return int(attributes.get("SubscriptionsConfirmed", "0")) > 0

    def publish(self, arn: str, notice: Notice, *accounts: str) -> None:
        """Tell a topic something, about these accounts where it is about any."""
        texts = {"default": notice.body, "email": notice.body, "sms": notice.subject}
        attributes: dict[str, str | list[str]] = {"type": TYPE}
        if accounts:
            attributes["account"] = accounts[0] if len(accounts) == 1 else list(accounts[:MOST_ACCOUNTS])
        entry = alert_entry(notice.subject, json.dumps(texts, ensure_ascii=False), attributes)
        AlertTopic(self._sns, arn).publish(entry)
