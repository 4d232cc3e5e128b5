"""The process itself: certificates, descriptors, metrics, servers for probes, and what it counts."""
