"""What every function stands on: its settings, its secrets, its log, what can go wrong at the borders."""
