"""Planted bugs: small patches of the product, each of which some test must fail. They test the tests.

`python -m tests.promises.mutants [NAME ...] [--jobs 2]` (or `make mutants`).
"""
