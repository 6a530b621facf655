"""What a run counts, as Prometheus and people read it."""

__all__ = ["http_server", "labels", "latency", "measures", "metric", "scrape", "serving"]
