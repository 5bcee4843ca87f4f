"""What is seen of a deployment: its functions, alarms and topics, an account's standing at VTEX, an order's story."""
