"""`invoicekey alerts`."""
