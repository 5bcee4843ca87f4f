"""Which version of the product this is, as its deployment says; template.yaml is the one place where it is written."""

import os

VERSION = os.environ.get("INVOICEKEY_VERSION") or "unknown"
"""Unknown outside of a deployed function: the operators' command reads it from template.yaml itself."""
