"""From shards to a trained model in a run folder: batches, steps, validation, checkpoints."""
