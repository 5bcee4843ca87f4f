"""`invoicekey redrive`."""
