"""Writes seconds, bytes and dates for people."""

from datetime import UTC, datetime


def seconds(value: float) -> str:
    """Return `850 ms`, `12.3 s`, `4 min 10 s` or `3 h 05 min`."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 99.95:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def bytes_text(value: float) -> str:
    """Return bytes in kB, MB or GB (powers of 1000), with three digits."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= factor:
            shown = value / factor
            return f"{shown:.{2 if shown < 10 else 1 if shown < 100 else 0}f} {unit}"
    return f"{value:.0f} B"


def minute(value: datetime) -> str:
    """Return the time in UTC, as `2026-11-23 14:05`."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
