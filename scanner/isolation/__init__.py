"""Worker processes that decode what strangers chose: an open file in, fixed-size records or a reason out."""

from scanner.isolation.in_process import InProcess
from scanner.isolation.pool import WorkerPool

__all__ = ["InProcess", "WorkerPool"]
