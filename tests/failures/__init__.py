"""What tests of injected failures have in common, with simulated nodes and with a real one."""
