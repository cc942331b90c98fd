"""The contract, generated from protos/interaction/v1 by scripts/generate. Never edited."""
