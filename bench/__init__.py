"""What is measured: `scripts/bench` runs it."""
