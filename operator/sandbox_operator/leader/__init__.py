"""Which of several operators may write: the one that holds a Lease."""
