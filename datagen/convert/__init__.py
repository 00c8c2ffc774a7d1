"""Published pictures as shards."""
