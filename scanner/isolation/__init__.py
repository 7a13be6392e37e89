"""Worker processes that decode what strangers chose: an open file in, fixed-size records or a reason out."""
