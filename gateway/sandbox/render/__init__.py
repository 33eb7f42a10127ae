"""Makes the sandbox's videos; runs in child processes only, so that a crash costs one task.

Frames are kept as the three planes of YUV 4:2:0 from the first resize to the encoder: a third of the
work of RGB, and one colour conversion for each still instead of one for each frame.
"""
