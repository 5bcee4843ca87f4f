"""How a command is asked and how it answers: the command line, findings, tables, troubles in one line."""
