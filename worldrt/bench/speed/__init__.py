"""What a block must cost, what it costs, and where the rest goes."""
