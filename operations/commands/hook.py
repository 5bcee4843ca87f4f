"""`invoicekey hook`."""
