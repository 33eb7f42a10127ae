"""The whole service as real processes under seeded faults, judged by what the outside world wrote down.

`python -m tests.promises.faults --scale 1 --seed 7` (or `make faults`).
"""
