"""What is decided, kind by kind: the state machine of each, and what belongs to it alone."""
