"""`invoicekey doctor`."""
