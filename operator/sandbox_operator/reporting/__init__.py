"""What the operator finds out about a sandbox, and how the status reports it. Pure."""
