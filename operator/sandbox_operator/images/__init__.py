"""Images kept on nodes: pulled ahead of time for a SandboxImages, and held by pods that mount them."""
