"""The HTML of the landing page, streamed: the head leaves at once, each section as soon as its data are there.

Every text of an upstream goes through `escape`; nothing that was fetched is trusted to be HTML.
"""

from html import escape

CSS = """
:root { color-scheme: light dark; --soft: color-mix(in srgb, currentColor 14%, transparent); --accent: #0b7a75 }
@media (prefers-color-scheme: dark) { :root { --accent: #5fd0c5 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; font: 1rem/1.55 system-ui, sans-serif }
h1 { margin: .2em 0; font-size: clamp(1.7rem, 5vw, 2.6rem); line-height: 1.15; text-wrap: balance }
h2 { margin: 0 0 .5rem; font-size: 1.1rem }
a { color: var(--accent) }
main { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 16rem), 1fr)) }
header, section { border: 1px solid var(--soft); border-radius: .8rem; padding: 1.2rem }
header, .wide { grid-column: 1 / -1 }
.tag { color: var(--accent); font-weight: 600; text-transform: capitalize; margin: 0 }
.price { font-size: 1.8rem; font-weight: 700; margin: 0 }
.missing { border-style: dashed }
ul { margin: 0; padding-left: 1.2rem }
blockquote { margin: 0 0 1rem; padding-left: 1rem; border-left: 3px solid var(--soft) }
blockquote p { margin: 0 }
"""


async def render(product, parts):
    """Yield the page piece by piece; `parts` are tasks, awaited in the order of the page."""
    yield head(await parts["catalogue"], product)
    for name, (title, section, css) in SECTIONS.items():
        answer = await parts[name]
        if "data" in answer:
            yield f'<section class="{css}"><h2>{title}</h2>\n{section(answer["data"])}</section>\n'
        else:
            yield missing(title, css)
    yield "</main>\n</body>\n</html>\n"


def head(answer, product):
    about = answer.get("data") or {
        "name": f"Product {product}",
        "category": "",
        "description": "Its description cannot be shown at the moment.",
    }
    name, category = escape(about["name"]), escape(about["category"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{name} · Atoll shop</title>
<link rel="icon" href="data:,">
<style>{CSS}</style>
</head>
<body>
<main>
<header><p class="tag">{category}</p><h1>{name}</h1><p>{escape(about["description"])}</p></header>
"""


def price(data):
    today = f'<p class="price">{euros(data["cents"])}</p>'
    if not data["discount_percent"]:
        return today
    return f"{today}<p><s>{euros(data['list_cents'])}</s> −{data['discount_percent']:d} %</p>"


def stock(data):
    rows = "".join(f"<li>{escape(city)}: {count:d}</li>" for city, count in data["warehouses"].items())
    return f"<p>{data['available']:d} available</p><ul>{rows}</ul>"


def recommendations(data):
    links = "".join(
        f'<li><a href="/landing/{escape(other["id"])}">{escape(other["name"])}</a></li>' for other in data["products"]
    )
    return f'<nav aria-label="Recommended products"><ul>{links}</ul></nav>'


def reviews(data):
    quotes = "".join(
        f"<blockquote><p>{stars(review['stars'])} <strong>{escape(review['title'])}</strong></p>"
        f"<p>{escape(review['text'])}</p><p><cite>{escape(review['author'])}</cite></p></blockquote>\n"
        for review in data["reviews"]
    )
    return f"<p>{data['stars_mean']:.1f} of 5 stars, {data['count']:d} reviews</p>\n{quotes}"


def missing(title, css):
    return f'<section class="{css} missing"><h2>{title}</h2><p>Not available at the moment.</p></section>\n'


def stars(count):
    return f'<span role="img" aria-label="{count:d} of 5 stars">{"★" * count}{"☆" * (5 - count)}</span>'


def euros(cents):
    return f"{cents // 100:d}.{cents % 100:02d} €"


SECTIONS = {
    "prices": ("Price", price, "plain"),
    "stock": ("Stock", stock, "plain"),
    "recommendations": ("You may also like", recommendations, "plain"),
    "reviews": ("Reviews", reviews, "wide"),
}
