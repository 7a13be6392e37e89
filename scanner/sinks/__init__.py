"""Where reports leave: sinks accept sealed batches of reports and nothing else."""

from scanner.sinks.backoff import backoff_seconds
from scanner.sinks.base import Sink
from scanner.sinks.http import HttpSink
from scanner.sinks.jsonl import JsonLinesSink

__all__ = ["HttpSink", "JsonLinesSink", "Sink", "backoff_seconds"]
