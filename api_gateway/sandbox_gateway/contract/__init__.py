"""What clients and the gateway say to each other: bodies, refusals, addresses. Pure."""
