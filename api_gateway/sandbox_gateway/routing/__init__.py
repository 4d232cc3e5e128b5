"""What the data plane asks about a sandbox: where it is, whose it is, and how it wakes."""
