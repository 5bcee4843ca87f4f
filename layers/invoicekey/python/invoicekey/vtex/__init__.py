"""VTEX: one polite client, and what is asked of it."""
