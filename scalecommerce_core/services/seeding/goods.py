"""Seeded products: what each category sells, at what prices, and how these moved."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

import numpy as np
from attrs import frozen

from scalecommerce_core.domain.identifiers import AccountId, CategoryId, ProductId
from scalecommerce_core.domain.money import MAX_PRICE, Money
from scalecommerce_core.domain.product import PriceCause, Product
from scalecommerce_core.domain.stock import Stock
from scalecommerce_core.services.seeding.randomness import Floats, Integers, Source, StreamName, generator, picked

OLDEST_DAYS: Final = 700
NEWEST_DAYS: Final = 100
"""Products are listed before the first seeded order."""
SETTLED_DAYS: Final = 35
"""Prices moved until then: later changes would make the seller's policy wait."""
MOST_CHANGES: Final = 6


@frozen
class Assortment:
    """`median` is the middle price in minor units; most prices lie between a third and the triple of it."""

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
"""For categories that staff added."""


@frozen
class Shelf:
    """Where seeded products go: the categories by id, and who sells them."""

    categories: Sequence[tuple[CategoryId, str]]
    sellers: Sequence[AccountId]
    currency: str


def sku_of(rng_seed: int, number: int) -> str:
    return f"SEED{rng_seed}-{number:07d}"


def seller_of(shelf: Shelf, count: int, rng: np.random.Generator) -> list[AccountId]:
    """Some sellers have far more to offer than others."""
    weights = 1 / (np.arange(len(shelf.sellers)) + 3.0)
    chosen = rng.choice(len(shelf.sellers), count, p=weights / weights.sum())
    return [shelf.sellers[place] for place in chosen.tolist()]


def goods(ids: Sequence[ProductId], start: int, source: Source, shelf: Shelf) -> tuple[list[Product], list[Stock]]:
    """Products number `start + 1` and following, with their price histories and opening stock."""
    rng_seed, words, base = source.rng_seed, source.words, source.base
    count = len(ids)
    rng = generator(rng_seed, StreamName.PRODUCTS, start)
    sellers = seller_of(shelf, count, rng)
    categories = picked(rng, shelf.categories, count)
    assortments = [ASSORTMENTS.get(name, OTHER) for _, name in categories]
    drawn_noun = rng.random(count).tolist()
    adjectives, brands = picked(rng, words.adjectives, count), picked(rng, words.brands, count)
    models = rng.integers(100, 1000, count).tolist()
    first_praise, second_praise = picked(rng, words.praises, count), picked(rng, words.praises, count)

    medians = np.array([assortment.median for assortment in assortments])
    prices = _histories(rng, medians)
    first_days = rng.uniform(NEWEST_DAYS, OLDEST_DAYS, count)
    # The moments of the changes: any time between the listing and when prices settled, in order.
    places = np.sort(rng.random((count, MOST_CHANGES)), axis=1)
    days = (first_days[:, None] - places * (first_days[:, None] - SETTLED_DAYS)).tolist()
    changes = rng.integers(1, MOST_CHANGES + 1, count).tolist()
    by_policy = (rng.random((count, MOST_CHANGES)) < 0.5).tolist()
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
            price=Money(prices[place][0], shelf.currency),
            now=listed_at,
            brand=brands[place],
            description=(
                f"{adjectives[place]} {noun.lower()} by {brands[place]}: {first_praise[place]}, {second_praise[place]}."
            ),
            sku=sku_of(rng_seed, start + place + 1),
            cost=Money(cost, shelf.currency),
            min_price=Money(max(cost, lowest * 8 // 10), shelf.currency),
            max_price=Money(min(MAX_PRICE, max(prices[place]) * 3 // 2), shelf.currency),
            is_active=active[place],
        )
        for change in range(changes[place]):
            cause = PriceCause.POLICY if by_policy[place][change] else PriceCause.MANUAL
            price = Money(prices[place][change + 1], shelf.currency)
            product.reprice(price, base - timedelta(days=days[place][change]), cause)
        product.events.clear()  # the past is no news
        products.append(product)
        stocks.append(Stock.opened(product_id, opening[place], listed_at))
    return products, stocks


def _histories(rng: np.random.Generator, medians: Integers) -> list[list[int]]:
    """Per product a first price and `MOST_CHANGES` later ones, in minor units."""
    first = medians * rng.lognormal(0.0, 0.55, len(medians))
    factors = rng.uniform(0.86, 1.16, (len(medians), MOST_CHANGES))
    walk = first[:, None] * np.cumprod(np.hstack([np.ones((len(medians), 1)), factors]), axis=1)
    prices: list[list[int]] = _charming(rng, walk).tolist()
    return prices


def _charming(rng: np.random.Generator, prices: Floats) -> Integers:
    """Prices as shops write them: most end in .99."""
    endings = rng.choice([99, 95, 49, 0], (len(prices), 1), p=[0.7, 0.1, 0.12, 0.08])
    whole = np.maximum(prices // 100, 1).astype(np.int64)
    charming: Integers = np.minimum(whole * 100 + endings, MAX_PRICE)
    return charming
