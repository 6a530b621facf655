"""The simulated commerce network: visits that click, order and pay, and what disturbs them."""
