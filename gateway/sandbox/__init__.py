"""The simulated upstream: it speaks the vtrix wire, refuses what the real one would, and renders real video.

It shares no rule with the gateway (only the injected clock and randomness), so that it can judge it: its
checks and its ledger are its own.
"""
