"""The loops that run: statistics for passes, and measures of quality."""
