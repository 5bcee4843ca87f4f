"""What is right: the access key, the order as it is read, the judgement. Pure: no AWS, no network, no log."""
