"""`invoicekey setup`."""
