"""Topics: read by partition, written with confirmation, checked at the start."""
