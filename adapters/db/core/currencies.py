"""Minor units of currencies in SQL, from the table of `domain.currencies`."""

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT, MINOR_PER_UNIT


def minor_per_unit(column: str) -> str:
    """SQL expression for the minor units in a whole unit (bigint), by the currency code in `column`."""
    cases = "".join(
        f" WHEN {column} IN ({', '.join(repr(code) for code in _codes(units))}) THEN {units}"
        for units in sorted(set(MINOR_PER_UNIT.values()) - {DEFAULT_MINOR_PER_UNIT})
    )
    return f"CAST(CASE{cases} ELSE {DEFAULT_MINOR_PER_UNIT} END AS bigint)"


def _codes(units: int) -> list[str]:
    return sorted(code for code, per in MINOR_PER_UNIT.items() if per == units)
