"""What operator, gateway and kubectl's plugin share."""
