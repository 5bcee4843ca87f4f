"""What is kept: one DynamoDB table, its items, and the lists of what is still to be done."""
