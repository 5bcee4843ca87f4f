"""What the commands of `invoicekey` do, a file each. What is typed for them stands in operations/command_line.py."""
