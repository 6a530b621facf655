"""Files of lines: read in order, merged, written so that a run can go on."""

__all__ = [
    "check_outputs",
    "file_bytes",
    "files",
    "input_report",
    "resume",
    "sorted_sources",
    "sources",
    "time_order",
    "truth",
]
