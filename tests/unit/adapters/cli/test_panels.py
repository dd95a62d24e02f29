"""Forms of files that `pricing evaluate` reads, and what it says of those that it cannot read."""

import gzip
import json
import sys
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from adapters.cli.csv_files import TextEncoding, detect_encoding
from adapters.cli.curves import curve_lines
from adapters.cli.failures import CommandFailed, ExitCode
from adapters.cli.panel_options import DateOrder, DecimalSign, PanelFormat
from adapters.cli.panels import PanelColumns, PanelFile, read_panel
from scalecommerce_core.pricing.evaluation.demand_curve import DemandCurve, DemandPoint
from scalecommerce_core.services.product_files.csv_text import UnreadableFile
from tests.unit.adapters.cli.conftest import Cli

COLUMNS = PanelColumns(["product"], [], "period", "units", "price", log_units=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "panel.csv"


def read(file: Path, text: str | bytes, said: PanelFormat | None = None, columns: PanelColumns = COLUMNS) -> PanelFile:
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_panel(file, columns, said or PanelFormat())


def days(file: Path, *texts: str, dates: DateOrder | None = None, separator: str = ",") -> list[int]:
    """Days between the first date and each of the others."""
    rows = [f'A{separator}"{text}"{separator}1{separator}2' for text in texts]
    header = separator.join(("product", "period", "units", "price"))
    period = read(file, "\n".join([header, *rows]), PanelFormat(dates=dates)).lines.period
    return [int(each) for each in period - period[0]]


@pytest.mark.parametrize(
    "texts",
    [
        ("2026-01-31", "2026-02-01", "2026-03-01"),
        ("2026-01-31T23:59:00Z", "2026-02-01 00:00", "2026-03-01T10:00:00+02:00"),
        ("31.01.2026", "01.02.2026", "1.3.2026"),
        ("31.01.26", "01.02.26", "01.03.26"),
        ("31/01/2026", "01/02/2026", "01/03/2026"),
        ("01/31/2026", "02/01/2026", "03/01/2026"),
        ("1/31/2026 10:15", "2/1/2026 0:00", "3/1/2026 23:59"),
        ("31-01-2026", "01-02-2026", "01-03-2026"),
        ("2026/01/31", "2026/02/01", "2026/03/01"),
        ("20260131", "20260201", "20260301"),
        ("31 Jan 2026", "1 February 2026", "01-Mar-2026"),
        ("Jan 31, 2026", "Feb 1, 2026", "March 1, 2026"),
        ("01/31/2026", "2026-02-01", "Mar 1, 2026"),
    ],
)
def test_dates_are_read_in_usual_forms(file: Path, texts: tuple[str, ...]) -> None:
    assert days(file, *texts) == [0, 1, 29]


def test_weeks_and_months_are_periods_of_their_own(file: Path) -> None:
    assert days(file, "2025-W52", "2026-W01", "2026W02") == [0, 1, 2]
    assert days(file, "2025-12", "2026-01", "2026-2") == [0, 1, 2]
    weeks = read(file, "product,period,units,price\nA,2026-W01,1,2\n")
    numbers = read(file, "product,period,units,price\nA,17,1,2\n")
    assert (weeks.period_days, numbers.period_days) == (7, None)


def test_ambiguous_dates_are_refused_unless_their_order_is_told(file: Path) -> None:
    with pytest.raises(CommandFailed, match=r"line 2: period: '03/04/2026' may have the day or the month first"):
        days(file, "03/04/2026", "05/04/2026")
    with pytest.raises(CommandFailed, match="say --dates day-first or --dates month-first"):
        days(file, "2026-01-01", "03/04/2026")
    assert days(file, "03/04/2026", "05/04/2026", dates=DateOrder.DAY_FIRST) == [0, 2]
    assert days(file, "03/04/2026", "05/04/2026", dates=DateOrder.MONTH_FIRST) == [0, 61]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (("31/01/2026", "01/31/2026"), r"line 3: period: '31/01/2026' in line 2 has the day first, '01/31/2026' in"),
        (("2026-02-30",), r"line 2: period: there is no date '2026-02-30'"),
        (("31/04/2026", "30/04/2026"), r"line 2: period: there is no date '31/04/2026' if the day comes first"),
        (("2026-01-01", "17"), r"line 3: period: '17' and '2026-01-01' in line 2 are not of one form"),
        (("1 Mai 2026",), r"line 2: period: '1 Mai 2026' has no month that is known: write English names"),
        (("2026-W54",), r"line 2: period: there is no week '2026-W54'"),
        (("2026-13",), r"line 2: period: there is no month '2026-13'"),
        (("",), r"line 2: period: '' is neither a whole number nor a date"),
        (("last week",), r"line 2: period: 'last week' is neither a whole number nor a date"),
    ],
)
def test_wrong_dates_are_reported_with_their_line(file: Path, texts: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        days(file, *texts)


@pytest.mark.parametrize(
    ("rows", "prices"),
    [
        (("A;1;1;9,99", "A;2;1;12,5", "A;3;1;1.290"), [9.99, 12.5, 1290]),
        (("A;1;1;1.290,50", "A;2;1;12"), [1290.5, 12]),
        (("A;1;1;1 290,50", "A;2;1;1\u00a0290"), [1290.5, 1290]),
        (("A;1;1;9.99", "A;2;1;1,290.50", "A;3;1;1,290"), [9.99, 1290.5, 1290]),
        (("A;1;1;1,290,000", "A;2;1;1.5"), [1_290_000, 1.5]),
        (("A;1;1;1'290.50", "A;2;1;1"), [1290.5, 1]),
        (("A;1;1;1.290", "A;2;1;2"), [1.29, 2]),
        (("A;1;1;0,125", "A;2;1;2"), [0.125, 2]),
        (("A;1;1;1e-2", "A;2;1;2"), [0.01, 2]),
    ],
)
def test_the_decimal_sign_is_detected(file: Path, rows: tuple[str, ...], prices: list[float]) -> None:
    read_as = read(file, "\n".join(("product;period;units;price", *rows)))
    assert read_as.lines.price.tolist() == prices


def test_a_number_that_may_have_a_group_separator_is_refused_unless_told(file: Path) -> None:
    text = "product;period;units;price\nA;1;1;1,290\n"
    with pytest.raises(CommandFailed, match=r"line 2: price: '1,290' may be a decimal number .* say --decimal comma"):
        read(file, text)
    assert read(file, text, PanelFormat(decimal=DecimalSign.COMMA)).lines.price.tolist() == [1.29]
    assert read(file, text, PanelFormat(decimal=DecimalSign.POINT)).lines.price.tolist() == [1290]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (
            ("A;1;1;9,99", "A;2;1;9.99"),
            r"line 3: numbers have a decimal point \('9.99' in line 3\) and a decimal comma",
        ),
        (("A;1;1;9,99", "A;2;1;9,9,9"), r"line 3: price: '9,9,9' is not a number"),
        (("A;1;1;9,99 €",), r"line 2: price: '9,99 €' is not a number such as 12, 9.99"),
        (("A;1;;9.99",), r"line 2: units: '' is not a number"),
        (("A;1;1;12,34.56",), r"line 2: price: '12,34.56' is not a number"),
        (("A;1;1;--5",), r"line 2: price: '--5' is not a number"),
    ],
)
def test_wrong_numbers_are_reported_with_their_line(file: Path, rows: tuple[str, ...], said: str) -> None:
    with pytest.raises(CommandFailed, match=said):
        read(file, "\n".join(("product;period;units;price", *rows)))


def test_encodings_are_detected_or_told(file: Path) -> None:
    text = "Produkt;period;units;Größe\nTüte;1;1;2,5\nКафе;1;1;2,5\n"
    western = text.replace("Кафе", "Café")
    columns = PanelColumns(["Produkt"], [], "period", "units", "Größe", log_units=False)
    for encoding, detected in (
        ("utf-8", TextEncoding.UTF_8),
        ("utf-8-sig", TextEncoding.UTF_8),
        ("utf-16", TextEncoding.UTF_16),
    ):
        read_as = read(file, text.encode(encoding), columns=columns)
        assert (read_as.cells, read_as.encoding) == (["Tüte", "Кафе"], detected)
    assert read(file, western.encode("cp1252"), columns=columns).cells == ["Tüte", "Café"]
    assert detect_encoding(file) is TextEncoding.WINDOWS_1252
    packed = read(file, gzip.compress(western.encode("cp1252")), columns=columns)
    assert packed.cells == ["Tüte", "Café"]
    russian = "product,period,units,price\nКафе,1,1,2\n".encode("cp1251")
    assert read(file, russian, PanelFormat(encoding=TextEncoding.WINDOWS_1251)).cells == ["Кафе"]


def test_rows_without_sales_are_kept_for_the_filter_but_count_as_left_out(file: Path) -> None:
    read_as = read(file, "product,period,units,price\nA,1,5,2\nA,2,0,2\nA,3,-1,2\nB,3,1,0\nA,4,1,2\n")
    assert read_as.lines.units.tolist() == [5, 0, 1]
    assert (read_as.left_out, read_as.cells) == (3, ["A"])


def test_categories_without_a_usable_row_have_no_number(file: Path) -> None:
    columns = PanelColumns(["product"], ["category"], "period", "units", "price", log_units=False)
    read_as = read(file, "product,category,period,units,price\nA,Cups,1,5,0\nB,Teas,1,5,2\n", columns=columns)
    assert (read_as.groups, read_as.lines.group.tolist()) == (["Teas"], [0])


def test_orders_are_read_if_the_file_has_them(file: Path) -> None:
    text = "product,period,units,price,orders,n\nA,1,5,2,3,1\nA,2,7,2,,1\n"
    assert read(file, text).lines.orders is not None
    named = read(file, text, columns=PanelColumns(["product"], [], "period", "units", "price", False, "n"))
    assert named.lines.orders is not None
    assert named.lines.orders.tolist() == [1, 1]
    assert read(file, "product,period,units,price\nA,1,5,2\n").lines.orders is None
    with pytest.raises(CommandFailed, match="no column 'm' \\(name yours with --orders\\)"):
        read(file, text, columns=PanelColumns(["product"], [], "period", "units", "price", False, "m"))


def test_repeated_column_names_are_refused(file: Path) -> None:
    with pytest.raises(UnreadableFile, match="several columns 'price'"):
        read(file, "product,period,units,price,price\nA,1,5,2,3\n")


# --- Parquet


def test_a_parquet_file_is_read_like_csv(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pa.table(
        {
            "product": ["A", "B", "B", None],
            "period": [date(2026, 1, 31), date(2026, 2, 1), date(2026, 2, 1), date(2026, 2, 2)],
            "at": [datetime(2026, 1, 31, 10), datetime(2026, 2, 1), datetime(2026, 2, 1), None],  # noqa: DTZ001
            "units": [5, 3, 0, 1],
            "price": [Decimal("9.99"), Decimal("12.50"), Decimal("12.50"), Decimal("1.00")],
            "real": [9.99, 12.5, 12.5, 1.0],
        }
    )
    file = tmp_path / "panel.parquet"
    parquet.write_table(table, file)
    read_as = read_panel(file, COLUMNS, PanelFormat())
    assert (read_as.cells, read_as.period_days, read_as.encoding) == (["A", "B", ""], 1, None)
    assert read_as.lines.price.tolist() == [9.99, 12.5, 12.5, 1]
    assert np.diff(read_as.lines.period).tolist() == [1, 0, 1]
    real = PanelColumns(["product"], [], "at", "units", "real", log_units=False)
    with pytest.raises(CommandFailed, match=r"row 4: at: '' is neither"):
        read_panel(file, real, PanelFormat())
    with pytest.raises(CommandFailed, match="Its columns are product, period, at, units, price, real"):
        read_panel(file, PanelColumns(["sku"], [], "at", "units", "real", log_units=False), PanelFormat())
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(UnreadableFile, match="is not a readable Parquet file"):
        read_panel(file, COLUMNS, PanelFormat())


def test_a_parquet_file_without_pyarrow_names_the_extra(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "adapters.cli.parquet_files", None)
    file = tmp_path / "panel.parquet"
    file.write_bytes(b"PAR1 and more")
    ended = cli("pricing", "evaluate", str(file))
    assert ended.code == ExitCode.USAGE
    assert "pip install 'scalecommerce[parquet]'" in ended.err


def test_a_parquet_file_of_products_is_refused(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "products.parquet"
    file.write_bytes(b"PAR1 and more")
    ended = cli("import", "products", str(file), "--seller", "1")
    assert ended.code == ExitCode.PROBLEM


# --- output


@pytest.fixture
def weekly(tmp_path: Path) -> Path:
    """Four products in two categories whose prices change at random; a German file."""
    rng = np.random.default_rng(1)
    lines = ["Artikel;Gruppe;Woche;Menge;Preis"]
    for product in range(12):
        for week in range(40):
            price = 10 * float(np.exp(rng.normal(0, 0.1)))
            units = rng.poisson(60 * np.exp(-2.5 * (price / 10 - 1)))
            kind = "Tüte" if product % 2 else "Café"
            lines.append(f"{product};{kind};{week};{units};{price:.2f}".replace(".", ","))
    file = tmp_path / "weekly.csv"
    file.write_bytes("\n".join(lines).encode("cp1252"))
    return file


GERMAN = ("--cell", "Artikel", "--group", "Gruppe", "--period", "Woche", "--units", "Menge", "--price", "Preis")


def test_the_report_draws_the_demand_curve(cli: Cli, weekly: Path) -> None:
    ended = cli("pricing", "evaluate", str(weekly), *GERMAN)
    assert ended.code == 0, ended
    assert "windows-1252" in ended.out
    assert "Demand of category" in ended.out
    assert "price, as a share of the usual price" in ended.out
    assert "demand filter" in ended.out
    chosen = cli("pricing", "evaluate", str(weekly), *GERMAN, "--curve", "Tüte")
    assert "Demand of category Tüte" in chosen.out
    assert "Demand of 7:" in cli("pricing", "evaluate", str(weekly), *GERMAN, "--curve", "7").out
    unknown = cli("pricing", "evaluate", str(weekly), *GERMAN, "--curve", "Tee")
    assert unknown.code == ExitCode.USAGE
    assert "Café" in unknown.err


def test_json_is_strict_and_complete(cli: Cli, weekly: Path, tmp_path: Path) -> None:
    document = json.loads(cli("pricing", "evaluate", str(weekly), *GERMAN, "--json").out, parse_constant=pytest.fail)
    assert document["objections"] == []
    assert document["filter_forecast"]["with_price"]["wape"] < document["filter_forecast"]["without_price"]["wape"]
    assert document["curve"]["name"].startswith("category ")
    assert {"rows", "price", "units", "fitted"} == set(document["curve"]["points"][0])
    assert not [name for name in document if name.startswith("_") or name in {"panel", "fit"}]
    few = tmp_path / "few.csv"
    few.write_text("product,period,units,price\nA,1,5,2\nA,2,7,3\n")
    ended = cli("pricing", "evaluate", str(few), "--json")
    refused = json.loads(ended.out, parse_constant=pytest.fail)
    assert ended.code == ExitCode.PROBLEM
    assert [each["reason"] for each in refused["objections"]] == ["too_few"]
    assert set(refused["objections"][0]) == {"reason", "message", "remedy"}
    assert refused["price_changes"]["present"]["error"] is None
    assert set(refused) == set(document)


def test_a_curve_of_one_price_is_drawn_as_a_flat_line() -> None:
    lines = curve_lines(DemandCurve(-2.0, (DemandPoint(9, 1.0, 1.0, 1.0), DemandPoint(9, 1.0, 1.0, 1.0))))
    assert max(map(len, lines)) <= 70
    assert any("o" in line for line in lines)
