"""What makes lists of items for sessions, and learns from their clicks."""
