"""`invoicekey secrets`."""
