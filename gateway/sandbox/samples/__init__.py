"""Three reference images of our own for demos and tests, and the programs that drew them."""
