"""`invoicekey explain`."""
