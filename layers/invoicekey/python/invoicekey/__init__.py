"""Watches that every CNova order invoiced at VTEX carries a good NF-e access key."""
