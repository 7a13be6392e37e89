"""A plug-in as a distribution would ship it; README shows its algorithm. Tests put it on a path of their own."""
