"""`invoicekey failures`."""
