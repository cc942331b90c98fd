"""One master and some slave processes train a CartPole policy: a first real job, written to be copied."""
