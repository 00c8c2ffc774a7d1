"""Other methods of the paper's comparison: trained on the same shards for the same time, and their predictions."""
