"""`invoicekey check`."""
