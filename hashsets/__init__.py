"""What is listed: hash sets, where they come from, and which of their entries a signal meets.

Knows no content, asset or report.
"""
