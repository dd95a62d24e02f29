"""Seeded products: their names, prices and price histories by category."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, Money
from scalecommerce_core.domain.product import PriceCause, Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.services.seeding.randomness import Floats, Integers, Source, Stream, generator, pick

OLDEST_DAYS: Final = 700
"""The oldest product is created this many days before the base."""
NEWEST_DAYS: Final = 100
"""The newest product is created this many days before the base, before the first seeded order."""
SETTLED_DAYS: Final = 35
"""The last price change is this many days before the base: policies skip products whose price changed later."""
MAX_CHANGES: Final = 6
"""Most price changes of a product."""


@frozen
class Assortment:
    """The products of a category. `median` is the median price in minor units; most prices are a third to three times
    of it.
    """

    median: int
    nouns: tuple[str, ...]


ASSORTMENTS: Final[Mapping[str, Assortment]] = {
    name: Assortment(median, tuple(nouns.split(", ")))
    for name, median, nouns in (
        (
            "electronics",
            8_900,
            "Headphones, Bluetooth Speaker, Radio, Action Camera, Television, Soundbar, E-Reader, Dash Cam",
        ),
        (
            "computers",
            44_900,
            "Laptop, Mini PC, Monitor, Mechanical Keyboard, Graphics Card, Solid State Drive, Docking Station, Router",
        ),
        ("smartphones", 39_900, "Smartphone, Folding Phone, Senior Phone, Rugged Phone, Smartphone 5G"),
        ("accessories", 1_900, "Backpack, Wallet, Phone Case, Power Bank, Charger, USB Cable, Watch Strap, Sunglasses"),
        ("home_appliances", 9_900, "Kettle, Toaster, Vacuum Cleaner, Coffee Machine, Blender, Air Fryer, Iron, Fan"),
        ("furniture", 17_900, "Desk, Office Chair, Bookshelf, Sofa, Bed Frame, Wardrobe, Side Table, Stool"),
        ("clothing", 3_490, "T-Shirt, Hoodie, Rain Jacket, Jeans, Dress, Pullover, Socks, Scarf"),
        ("shoes", 6_990, "Sneakers, Running Shoes, Hiking Boots, Sandals, Slippers, Loafers"),
        (
            "beauty_health",
            1_690,
            "Shampoo, Face Cream, Hand Soap, Electric Toothbrush, Sunscreen, Hair Dryer, Vitamin Tablets",
        ),
        (
            "sports",
            3_990,
            "Yoga Mat, Dumbbells, Football, Bicycle Helmet, Tennis Racket, Skipping Rope, Tent, Water Bottle",
        ),
        ("toys", 2_290, "Building Blocks, Puzzle, Board Game, Doll, Toy Train, Plush Bear, Kite, Modelling Clay"),
        (
            "automotive",
            2_990,
            "Engine Oil, Wiper Blades, Car Battery, Roof Box, Phone Mount, Jump Starter, Tyre Inflator",
        ),
        ("tools", 4_490, "Cordless Drill, Hammer, Screwdriver Set, Jigsaw, Spirit Level, Tool Box, Tape Measure"),
        (
            "office_supplies",
            990,
            "Notebook, Ballpoint Pens, Desk Organiser, Stapler, Printer Paper, Marker Set, Ring Binder",
        ),
        (
            "food_beverages",
            790,
            "Coffee Beans, Green Tea, Dark Chocolate, Olive Oil, Muesli, Honey, Pasta, Mineral Water",
        ),
        ("books", 1_490, "Novel, Cookbook, Travel Guide, Biography, Picture Book, Dictionary, Comic"),
        ("pet_supplies", 1_990, "Dog Bed, Cat Litter, Dog Food, Scratching Post, Leash, Aquarium, Bird Feeder"),
        ("garden", 3_290, "Garden Hose, Lawn Mower, Plant Pot, Hedge Shears, Garden Chair, Seed Set, Barbecue"),
        (
            "construction",
            2_790,
            "Wall Paint, Insulation Foam, Laminate Floor, Door Handle, Work Gloves, Cement, LED Panel",
        ),
        (
            "services",
            4_990,
            "Repair Service, Installation, Gift Wrapping, Extended Warranty, Photo Shooting, Online Course",
        ),
    )
}
OTHER: Final = Assortment(2_490, ("Article", "Set", "Kit", "Bundle"))
"""The assortment of categories that staff added."""


@frozen
class SellersAndCategories:
    """Categories and sellers that seeded products are assigned to, and the currency of their prices."""

    categories: Sequence[tuple[CategoryId, str]]
    sellers: Sequence[AccountId]
    currency: str


def sku_of(rng_seed: int, number: int) -> str:
    """SKU of seeded product number `number`, from 1."""
    return f"SEED{rng_seed}-{number:07d}"


def seller_of(market: SellersAndCategories, count: int, rng: np.random.Generator) -> list[AccountId]:
    """Draw a seller for each of `count` products; some sellers get many more products than others."""
    weights = 1 / (np.arange(len(market.sellers)) + 3.0)
    chosen = rng.choice(len(market.sellers), count, p=weights / weights.sum())
    return [market.sellers[place] for place in chosen.tolist()]


def make_products(
    ids: Sequence[ProductId], start: int, source: Source, market: SellersAndCategories
) -> tuple[list[Product], list[Stock]]:
    """Make products number `start + 1` and following, with their price histories and opening stock."""
    rng_seed, words, base = source.rng_seed, source.words, source.base
    count = len(ids)
    rng = generator(rng_seed, Stream.PRODUCTS, start)
    sellers = seller_of(market, count, rng)
    categories = pick(rng, market.categories, count)
    assortments = [ASSORTMENTS.get(name, OTHER) for _, name in categories]
    drawn_noun = rng.random(count).tolist()
    adjectives, brands = pick(rng, words.adjectives, count), pick(rng, words.brands, count)
    models = rng.integers(100, 1000, count).tolist()
    first_praise, second_praise = pick(rng, words.praises, count), pick(rng, words.praises, count)

    medians = np.array([assortment.median for assortment in assortments])
    prices = _histories(rng, medians)
    first_days = rng.uniform(NEWEST_DAYS, OLDEST_DAYS, count)
    # Times of the changes, in order, between the creation and SETTLED_DAYS before the base.
    places = np.sort(rng.random((count, MAX_CHANGES)), axis=1)
    days = (first_days[:, None] - places * (first_days[:, None] - SETTLED_DAYS)).tolist()
    changes = rng.integers(1, MAX_CHANGES + 1, count).tolist()
    by_policy = (rng.random((count, MAX_CHANGES)) < 0.5).tolist()
    margins = rng.uniform(0.45, 0.78, count).tolist()
    active = (rng.random(count) < 0.95).tolist()
    opening = np.clip(rng.lognormal(4.0, 0.8, count), 0, 5_000).astype(int).tolist()

    products, stocks = [], []
    for place, product_id in enumerate(ids):
        listed_at = base - timedelta(days=float(first_days[place]))
        noun = assortments[place].nouns[int(drawn_noun[place] * len(assortments[place].nouns))]
        lowest = min(prices[place][: changes[place] + 1])
        cost = max(1, int(lowest * margins[place]))
        product = Product.listed(
            id=product_id,
            seller_id=sellers[place],
            category_id=categories[place][0],
            name=f"{adjectives[place]} {noun} {models[place]}",
            price=Money(prices[place][0], market.currency),
            now=listed_at,
            brand=brands[place],
            description=(
                f"{adjectives[place]} {noun.lower()} by {brands[place]}: {first_praise[place]}, {second_praise[place]}."
            ),
            sku=sku_of(rng_seed, start + place + 1),
            cost=Money(cost, market.currency),
            min_price=Money(max(cost, lowest * 8 // 10), market.currency),
            max_price=Money(min(MAX_PRICE, max(prices[place]) * 3 // 2), market.currency),
            is_active=active[place],
        )
        for change in range(changes[place]):
            cause = PriceCause.POLICY if by_policy[place][change] else PriceCause.MANUAL
            price = Money(prices[place][change + 1], market.currency)
            product.reprice(price, base - timedelta(days=days[place][change]), cause)
        product.events.clear()  # seeded products publish no events
        products.append(product)
        stocks.append(Stock.opened(product_id, opening[place], listed_at))
    return products, stocks


def _histories(rng: np.random.Generator, medians: Integers) -> list[list[int]]:
    """A first price and `MAX_CHANGES` later ones per product, in minor units."""
    first = medians * rng.lognormal(0.0, 0.55, len(medians))
    factors = rng.uniform(0.86, 1.16, (len(medians), MAX_CHANGES))
    walk = first[:, None] * np.cumprod(np.hstack([np.ones((len(medians), 1)), factors]), axis=1)
    prices: list[list[int]] = _rounded_prices(rng, walk).tolist()
    return prices


def _rounded_prices(rng: np.random.Generator, prices: Floats) -> Integers:
    """Prices rounded as shops do: most end in .99."""
    endings = rng.choice([99, 95, 49, 0], (len(prices), 1), p=[0.7, 0.1, 0.12, 0.08])
    whole = np.maximum(prices // 100, 1).astype(np.int64)
    charming: Integers = np.minimum(whole * 100 + endings, MAX_PRICE)
    return charming
