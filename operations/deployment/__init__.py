"""What is known of a deployed stack, and how VTEX is visited on its behalf."""
