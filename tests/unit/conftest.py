"""How hypothesis looks for counterexamples here."""

from hypothesis import HealthCheck, settings

# `derandomize` is spelled out: hypothesis turns it on where CI is set, and then tries the same examples for ever.
settings.register_profile(
    "unit",
    deadline=None,  # a busy machine is no failure; pytest's time limit ends what hangs
    derandomize=False,
    print_blob=True,
    max_examples=60,
    stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("unit")
