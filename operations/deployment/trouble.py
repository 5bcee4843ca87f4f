"""What can be in an operator's way. It imports nothing, so that the command line starts at once."""

DEFAULT_STACK = "invoicekey"


class Trouble(Exception):
    """Something that the operator has to mend first; the message says what and how, in one line."""


class NotUnderstood(Trouble):
    """What was typed is not what the command takes; the message says what was expected. Nothing was done."""
