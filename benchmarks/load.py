"""x."""


def measure_load(bench):
    return []
