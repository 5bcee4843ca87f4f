"""`make deploy` and `make credentials`: from answers to a stack that stands."""
