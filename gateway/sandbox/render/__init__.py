"""Renders the videos of the sandbox. It runs only in child processes, so that a crash fails only one task.

Frames have the three planes of YUV 4:2:0 from the first resize to the encoder. This is a third of the work of
RGB, and needs one colour conversion for each still image instead of one for each frame.
"""
