"""What makes an encoder fast on a processor."""
