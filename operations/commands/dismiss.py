"""`invoicekey dismiss`."""
