"""The process itself: certificates, descriptors, metrics, and servers for probes."""
