"""The process itself: its probes and its metrics."""
