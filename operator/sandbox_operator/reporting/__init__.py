"""What is found out about a sandbox, and how its status reports it. Pure."""
