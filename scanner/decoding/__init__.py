"""The only package that opens media: an open file in, pictures out. Never imports hashing, the ledger or the store."""

from scanner.decoding.attempts import DecodeOptions, decode
from scanner.decoding.budget import Budget, Limits, OverBudget
from scanner.decoding.picture import Picture, Sink
from scanner.decoding.reading import MediaFile
from scanner.decoding.sniffing import Form, Sniffed, sniff

__all__ = [
    "Budget",
    "DecodeOptions",
    "Form",
    "Limits",
    "MediaFile",
    "OverBudget",
    "Picture",
    "Sink",
    "Sniffed",
    "decode",
    "sniff",
]
