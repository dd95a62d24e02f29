"""SQL expressions for the minor units of currencies, made from the table in `domain.currencies`."""

from scalecommerce_core.domain.currencies import DEFAULT_MINOR_PER_UNIT, MINOR_PER_UNIT


def minor_per_unit(column: str) -> str:
    """A bigint expression: the minor units in one unit of the currency whose code is in `column`."""
    cases = "".join(
        f" WHEN {column} IN ({', '.join(repr(code) for code in _codes(units))}) THEN {units}"
        for units in sorted(set(MINOR_PER_UNIT.values()) - {DEFAULT_MINOR_PER_UNIT})
    )
    return f"CAST(CASE{cases} ELSE {DEFAULT_MINOR_PER_UNIT} END AS bigint)"


def _codes(units: int) -> list[str]:
    return sorted(code for code, per in MINOR_PER_UNIT.items() if per == units)
