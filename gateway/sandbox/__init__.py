"""The simulated upstream. It speaks vtrix and vidu, refuses what the real ones refuse, and renders real
video.

It shares only the injected clock and randomness with the gateway, and no rules: its checks and its ledger are
its own, so that tests can check the gateway against them.
"""
