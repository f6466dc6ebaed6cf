"""Reports to read, print and send on: one file each, nothing loaded from elsewhere."""

from circuits.report.page import report
from circuits.report.save import save_report

__all__ = ["report", "save_report"]
