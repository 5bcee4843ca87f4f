"""What is said, to machines and to people: records, alerts, summaries, in two languages."""
