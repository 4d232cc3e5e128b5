"""What the operator, the gateway and the kubectl plugin share."""
