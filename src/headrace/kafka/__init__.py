"""Topics: read by partition, written with confirmation, checked at the start."""

__all__ = [
    "asyncapi",
    "connection",
    "delivery",
    "outlet",
    "partition_merge",
    "producer",
    "read_back",
    "reader",
    "repair",
    "starts",
    "topics",
]
