"""The shop's data: thirteen products and what five services know about each, all derived from the product's id.

Rules of this file: pure and deterministic; the same id gives the same answer in every process and on every day.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Any

PRODUCTS: dict[str, tuple[str, str, str, int]] = {
    # id: name, category, description, price in cents
    "1": (
        "Moka pot, 6 cups",
        "kitchen",
        "Cast aluminium, for gas and electric hobs; strong coffee in five minutes.",
        3490,
    ),
    "2": ("Carbon steel pan, 28 cm", "kitchen", "Heats fast, takes a seasoning, lasts longer than its owner.", 5900),
    "3": ("Chef's knife, 20 cm", "kitchen", "Forged stainless blade at 56 HRC with a walnut handle.", 8950),
    "4": ("Whetstone 1000/6000", "kitchen", "Two grits on one stone; soak it for ten minutes before use.", 4200),
    "5": ("Wool blanket, 140 × 200 cm", "home", "Woven from lambswool, fringed, mended free of charge.", 11900),
    "6": ("Desk lamp with a swing arm", "home", "Warm white, dimmable, and its arm stays where it is put.", 7450),
    "7": ("Enamel mug, 350 ml", "outdoor", "For the fire, the hob and the dishwasher, not for the microwave.", 1290),
    "8": ("Headlamp, 400 lm", "outdoor", "Red light for reading maps, charged by USB-C, weighs 78 g.", 4990),
    "9": ("Down sleeping bag, −5 °C", "outdoor", "800-fill down, 920 g, packs to the size of a loaf of bread.", 28900),
    "10": (
        "Trail backpack, 28 l",
        "outdoor",
        "Sits close, breathes well, and has a pocket where one looks for it.",
        12900,
    ),
    "11": ("Fountain pen, fine nib", "stationery", "Steel nib, piston filler, a window to see the ink.", 6400),
    "12": ("Dotted notebook, A5", "stationery", "192 numbered pages that lie flat; ink does not show through.", 1850),
    "42": ("Towel, 70 × 140 cm", "outdoor", "About the most useful thing a traveller can carry.", 2400),
}

AUTHORS = ("Amara", "Bela", "Chiara", "Dmitri", "Emeka", "Freya", "Goran", "Hana", "Ines", "Jun")
VERDICTS = (
    (5, "Does what it should", "In use every day for a year, and nothing to complain of."),
    (4, "Good, with one wish", "Well made. A second colour would be nice."),
    (5, "Bought it twice", "The first one was borrowed by a friend & never came back."),
    (3, "Decent", "Fine for the price; the box was <dented> when it came."),
    (4, "Recommended", "My sister has one, now I have one, too."),
    (2, "Not for me", "Good quality, but larger than I had pictured it."),
    (5, 'A "buy once" thing', "Expect to hand it down some day."),
)
WAREHOUSES = ("Bremen", "Lyon", "Gdańsk")


def knows(product: str) -> bool:
    """Whether the shop sells a product of this id."""
    return product in PRODUCTS


def catalogue(product: str) -> dict[str, Any]:
    """Name, category and description."""
    name, category, description, _ = PRODUCTS[product]
    return {"id": product, "name": name, "category": category, "description": description}


def reviews(product: str) -> dict[str, Any]:
    """What buyers wrote, with the mean rating."""
    count = 2 + _number(product, "reviews") % 4
    written: list[dict[str, Any]] = []
    for index in range(count):
        stars, title, text = VERDICTS[_number(product, f"verdict {index}") % len(VERDICTS)]
        author = AUTHORS[_number(product, f"author {index}") % len(AUTHORS)]
        written.append({"author": author, "stars": stars, "title": title, "text": text})
    mean = sum(review["stars"] for review in written) / count
    return {"id": product, "count": count, "stars_mean": round(mean, 1), "reviews": written}


def stock(product: str) -> dict[str, Any]:
    """How many lie in which warehouse."""
    warehouses = {city: _number(product, city) % 40 for city in WAREHOUSES}
    return {"id": product, "available": sum(warehouses.values()), "warehouses": warehouses}


def prices(product: str) -> dict[str, Any]:
    """The list price, and today's, which is lower for some."""
    cents = PRODUCTS[product][3]
    discount_percent = (0, 0, 10, 15)[_number(product, "discount") % 4]
    reduced = cents * (100 - discount_percent) // 100
    return {
        "id": product,
        "currency": "EUR",
        "list_cents": cents,
        "cents": reduced,
        "discount_percent": discount_percent,
    }


def recommendations(product: str) -> dict[str, Any]:
    """Three other products, those of the same category first."""
    category = PRODUCTS[product][1]
    others = [other for other in PRODUCTS if other != product]
    others.sort(key=lambda other: (PRODUCTS[other][1] != category, _number(product, other)))
    return {"id": product, "products": [{"id": other, "name": PRODUCTS[other][0]} for other in others[:3]]}


SERVICES: dict[str, Callable[[str], dict[str, Any]]] = {
    "catalogue": catalogue,
    "prices": prices,
    "stock": stock,
    "recommendations": recommendations,
    "reviews": reviews,
}


def _number(product: str, purpose: str) -> int:
    """A number that looks random and depends on nothing but the product and the purpose."""
    return int.from_bytes(sha256(f"{product}/{purpose}".encode()).digest()[:4])
