"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# How fast a machine makes examples up says nothing of the product.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
