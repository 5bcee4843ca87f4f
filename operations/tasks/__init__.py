"""What the commands do: back-fill, check, redrive, rotate."""
