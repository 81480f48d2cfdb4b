"""Rows and random conditions for the comparison of Odoo's domains with those of the warehouse."""

from datetime import date, datetime, timedelta
from decimal import Decimal

from ..lib.domain import conjunction

# name of the column -> (kind for the compiler, type in PostgreSQL, type in the warehouse)
COLUMNS = {
    "x_text": ("text", "varchar", "STRING"),
    "x_int": ("integer", "int8", "BIGINT"),
    "x_float": ("float", "float8", "DOUBLE"),
    "x_money": ("decimal(18,2)", "numeric(18,2)", "DECIMAL(18,2)"),
    "x_flag": ("boolean", "bool", "BOOLEAN"),
    "x_date": ("date", "date", "DATE"),
    "x_at": ("datetime", "timestamp", "TIMESTAMP"),
}
EQUAL = ("=", "!=", "<>")
ORDERED = ("<", "<=", ">", ">=")
LISTS = ("in", "not in")
LIKES = ("like", "not like", "ilike", "not ilike")
EXACT_LIKES = ("=like", "=ilike")
OPERATORS = {
    name: EQUAL
    + ORDERED
    + LISTS
    + (LIKES if name in ("x_text", "x_int", "x_money", "x_date") else ())
    + (EXACT_LIKES if name == "x_text" else ())
    for name in COLUMNS
}

TEXTS = [
    *("", " ", "a", "A", "ab", "aB", "b", "Z", "z", "zz", "false", "False", "0", "5", "None"),
    *("100%", "%", "_", "__", "a_b", "a%b", "a\\b", "\\", "\\\\", "a\\%b", "\\_", "a\nb", "tab\t"),
    *("ñ", "Ñ", "ñandú", "ÑANDÚ", "Peña, José", "PEÑA, JOSÉ", "É", "é", "e", "n", "straße", "日本"),
    *("😀", "a😀b", " lead", "trail ", "O'Brien", '"quoted"', "`; DROP TABLE x --", ":p0", "${x}"),
    *("e\u0301", "\u00a0", "￿", "\x01", "a" * 300),
]
INTEGERS = [0, 1, -1, 5, 10, 42, 100, -100, 2**31 - 1, 2**31, -(2**31), 2**53 + 1, 2**63 - 1]
INTEGERS += [-(2**63), 55, 15]
FLOATS = [0.0, -0.0, 0.1, 0.2, 0.1 + 0.2, 1.0, -1.5, 2.5, 1e-300, 5e-324, 1.7976931348623157e308]
FLOATS += [-1e300, 2.0**53, 1 / 3, 100.0]
MONEY = ["0.00", "0.01", "-0.01", "0.10", "0.30", "1.00", "10.00", "10.01", "1120.00", "-1120.00"]
MONEY = [Decimal(text) for text in [*MONEY, "9999999999999999.99", "-9999999999999999.99", "0.05"]]
DATES = [
    date(1, 1, 1),
    date(1582, 10, 10),
    date(1969, 12, 31),
    date(1970, 1, 1),
    date(9999, 12, 31),
]
DATES += [date(2024, 2, 29), date(2024, 12, 31), date(2025, 1, 1), date(2025, 1, 31)]
# midnight in Manila is 16:00 UTC of the day before
MOMENTS = [datetime(2024, 12, 31, 15, 59, 59, 999999), datetime(2024, 12, 31, 16)]
MOMENTS += [datetime(2024, 12, 31, 23, 59, 59, part) for part in (0, 1, 999999)]
MOMENTS += [datetime(2025, 1, 1), datetime(2025, 1, 1, 0, 0, 0, 1), datetime(1970, 1, 1)]
MOMENTS += [datetime(1969, 12, 31, 23, 59, 59), datetime(9999, 12, 31, 23, 59, 59)]
MOMENTS += [datetime(1900, 1, 1), datetime(2025, 3, 30, 1, 30), datetime(2024, 12, 31)]
POOLS = {
    "x_text": TEXTS,
    "x_int": INTEGERS,
    "x_float": FLOATS,
    "x_money": MONEY,
    "x_flag": [True, False],
    "x_date": DATES,
    "x_at": MOMENTS,
}


class Cases:
    """Everything random comes from one generator, so that a seed repeats a run."""

    def __init__(self, rng):
        self.rng = rng

    def rows(self, count):
        """(id, values ...): every special value at least once, a fifth of the others empty."""
        rows = []
        for number in range(count):
            values = []
            for pool in POOLS.values():
                special = number < len(pool)
                empty = not special and self.rng.random() < 0.2
                values.append(pool[number] if special else None if empty else self.rng.choice(pool))
            rows.append((number + 1, *values))
        return rows

    def leaf(self, name, operator, empty):
        """A condition; `empty`: with False or None as the value, or inside the list."""
        if operator in LISTS:
            values = [self._value(name, operator) for __ in range(self.rng.randrange(4))]
            if empty:
                values.insert(self.rng.randrange(len(values) + 1), self.rng.choice([False, None]))
            return (name, operator, values)
        value = self.rng.choice([False, None]) if empty else self._value(name, operator)
        return (name, operator, value)

    def domain(self, depth):
        """Nested &, | and ! over any fields, in part with the '&' left out."""
        if depth == 0 or self.rng.random() < 0.15:
            if self.rng.random() < 0.06:
                return [self.rng.choice([(1, "=", 1), (0, "=", 1)])]
            name = self.rng.choice(list(COLUMNS))
            operator = self.rng.choice(OPERATORS[name])
            return [self.leaf(name, operator, self.rng.random() < 0.2)]
        kind = self.rng.choice(["&", "|", "!", "|", ""])
        if kind == "!":
            # one expression after it, whatever it is made of
            return ["!", *conjunction(self.domain(depth - 1))]
        parts = self.domain(depth - 1), self.domain(depth - 1)
        if kind == "":
            return [*parts[0], *parts[1]]
        return [kind, *conjunction(parts[0]), *conjunction(parts[1])]

    def _value(self, name, operator):
        make = getattr(self, f"_{name[2:]}")
        if operator.endswith("like"):
            return self._pattern(name, operator)
        return make()

    def _pattern(self, name, operator):
        if name != "x_text":
            shown = str(self.rng.choice(POOLS[name]))
            start = self.rng.randrange(len(shown))
            return self.rng.choice(
                [shown[start : start + 3], shown, "-", "1%0", "_", "", 0, 1, "%"]
            )
        alphabet = "aAbBñÑéÉeE%_\\ 0z日😀\n'"
        kind = self.rng.random()
        if kind < 0.4:
            shown = self.rng.choice(TEXTS)
            start = self.rng.randrange(len(shown) + 1)
            text = shown[start : start + self.rng.randrange(1, 6)]
            text = self.rng.choice([text, text.upper(), text.lower(), f"%{text}", f"{text}%"])
        else:
            text = "".join(self.rng.choice(alphabet) for __ in range(self.rng.randrange(5)))
        # PostgreSQL refuses an escape without a character
        odd = (len(text) - len(text.rstrip("\\"))) % 2
        return text + "\\" if odd and operator in EXACT_LIKES else text

    def _text(self):
        return self.rng.choice([*TEXTS, *TEXTS, "aa", "ñb", "~", "é%", 5, 0, 1.5])

    def _int(self):
        near = self.rng.choice(INTEGERS) + self.rng.choice([0, 0, 0, 1, -1])
        return self.rng.choice(
            [near, near, near, float(near % 1000), 2.7, "5", "", 10**30, -(10**30)]
        )

    def _float(self):
        value = self.rng.choice(FLOATS)
        return self.rng.choice(
            [value, value, value, 0.3, 5, "2.5", -value, self.rng.random(), 0, ""]
        )

    def _money(self):
        value = float(self.rng.choice(MONEY))
        return self.rng.choice(
            [value, value, value, value + 0.005, -value, 1120, "10.01", 1e20, -1e20, 0, 0.001, 0.3]
        )

    def _flag(self):
        return self.rng.choice([True, False, True, False, 1, 0])

    def _date(self):
        day = self.rng.choice(DATES)
        if date(2, 1, 1) < day < date(9999, 1, 1):
            day += timedelta(days=self.rng.choice([0, 0, 0, 1, -1]))
        late = datetime(day.year, day.month, day.day, 23, 30)
        text = day.isoformat()
        return self.rng.choice([day, text, day, text, late, f"{text} 23:30:00"])

    def _at(self):
        moment = self.rng.choice(MOMENTS)
        day = moment.date()
        text = moment.isoformat(sep=" ")
        return self.rng.choice([moment, text, moment, text[:19], day, day.isoformat()])
