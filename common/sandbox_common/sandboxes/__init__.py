"""A Sandbox as people and clients see it: its state, why it is so, and how it is paused. For gateway and plugin."""
