"""An alert as a chat message: Amazon Q Developer in chat applications, the https form of an SNS message."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from invoicekey.messages import texts

LONGEST_CHAT_TITLE = 250
LONGEST_CHAT_TEXT = 2_900
"""Amazon documents no limit; a block of text in Slack has 3,000 characters at the most."""

ChatText = Annotated[str, Field(min_length=1, max_length=LONGEST_CHAT_TEXT)]


class _Chat(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, extra="forbid", frozen=True)


class ChatContent(_Chat):
    """What is shown. Foreign text in it has no markup, and nothing in it is a link but bare addresses."""

    text_type: Literal["client-markdown"] = "client-markdown"
    title: Annotated[str, Field(min_length=1, max_length=LONGEST_CHAT_TITLE)]
    description: ChatText
    next_steps: tuple[ChatText, ...] | None = None


class ChatMetadata(_Chat):
    """What chat messages are sorted by, and what a custom action's button is given."""

    thread_id: str
    summary: ChatText
    event_type: str
    additional_context: dict[str, str]


class ChatMessage(_Chat):
    """A custom notification of Amazon Q Developer in chat applications, the https form of an SNS message.

    https://docs.aws.amazon.com/chatbot/latest/adminguide/custom-notifs.html
    """

    version: Literal["1.0"] = "1.0"
    source: Literal["custom"] = "custom"
    content: ChatContent
    metadata: ChatMetadata


def chat_message(
    *, title: str, body: str, thread: str, attributes: Mapping[str, str | list[str]], order_id: str | None
) -> ChatMessage:
    """Return an alert as a chat message: what the e-mail says, its numbered steps apart."""
    description, steps = texts.steps_apart(body)
    context = {name: value if isinstance(value, str) else ",".join(value) for name, value in attributes.items()}
    about = {"order_id": order_id} if order_id else {}
    return ChatMessage(
        content=ChatContent(
            title=texts.without_markup(title), description=_cut(description), next_steps=tuple(steps) or None
        ),
        metadata=ChatMetadata(
            thread_id=thread,
            summary=texts.without_markup(body.split("\n", 1)[0]),
            event_type=str(attributes["type"]),
            additional_context=context | about,
        ),
    )


def _cut(text: str) -> str:
    """Keep the whole lines that fit into a chat message."""
    if len(text) <= LONGEST_CHAT_TEXT:
        return text
    return text[: LONGEST_CHAT_TEXT - 1].rsplit("\n", 1)[0] + "\n…"
