"""What holds for all tests."""

from hypothesis import HealthCheck, Phase, settings

# How fast a machine makes examples up says nothing of the product.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# For hundreds of runs that are to come out alike (`make mutants`): few examples, the same ones, and none made simpler.
settings.register_profile(
    "mutants", max_examples=20, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)
