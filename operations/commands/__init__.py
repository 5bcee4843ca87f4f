"""The commands of `invoicekey`, a file each. Importing one adds it to the command line."""
