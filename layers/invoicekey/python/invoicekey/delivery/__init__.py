"""Where things go: the queues and the topics."""
