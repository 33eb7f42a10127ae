"""The simulated upstream: it speaks vtrix and vidu, refuses what the real ones would, and renders real video.

It shares no rule with the gateway (only the injected clock and randomness), so that it can judge it: its
checks and its ledger are its own.
"""
