"""What each function does, as steps to be read from top to bottom."""
