"""What is written while a generation runs: batches, readings, Parquet shards, the run folder."""
