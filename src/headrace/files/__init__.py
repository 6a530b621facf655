"""Files of lines: read in order, merged, written so that a run can go on."""

__all__ = [
    "check_outputs",
    "file_bytes",
    "input_report",
    "line_reader",
    "merged_reader",
    "output_file",
    "pace",
    "progress",
    "resume",
    "sorted_sources",
    "sources",
    "time_order",
]
