"""`invoicekey backfill`."""
