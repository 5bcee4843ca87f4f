"""The rules of the access key once more, for tests alone: by columns and congruences, sharing nothing with the product.

Written from the Nota Técnica Conjunta 2025.001 and the MOC 7.0. A check digit d is right where the weighted sum and d
together are divisible by 11, or where d is 0 and the sum leaves 1.
"""

_DIGITS = "0123456789"
_CAPITALS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_STATES = (
    "RO11 AC12 AM13 RR14 PA15 AP16 TO17 MA21 PI22 CE23 RN24 PB25 PE26 AL27 SE28 BA29 "
    "MG31 ES32 RJ33 SP35 PR41 SC42 RS43 MS50 MT51 GO52 DF53"
)


def opinion(value: object, current_year: int) -> str | None:
    """Return the problem code of what an invoice's key field holds; None for a valid key of an NF-e."""
    if not _has_shape(value):
        return "malformed"
    key = str(value)
    month, year = int(key[4:6]), int("20" + key[2:4])
    verdicts = (
        ("invalid_check_digit", _agrees(key, [2 + (43 - column) % 8 for column in range(1, 44)])),
        ("invalid_state", any(state[2:] == key[:2] for state in _STATES.split())),
        ("invalid_year", year > 2005 and not year > current_year),
        ("invalid_month", month != 0 and month < 13),
        ("invalid_tax_id", _issuer_is_right(key)),
        ("wrong_model", key[20] == key[21] == "5"),
        ("invalid_number", key[25:34] != "000000000"),
        ("invalid_emission_type", (year, month) < (2011, 4) or key[34] not in "08"),
    )
    return next((code for code, is_right in verdicts if not is_right), None)


def _has_shape(value: object) -> bool:
    if not isinstance(value, str) or len(value) != 44:
        return False
    return all(
        character in _DIGITS or (character in _CAPITALS and 7 <= column <= 18)
        for column, character in enumerate(value, start=1)
    )


def _worth(character: str) -> int:
    return _DIGITS.index(character) if character in _DIGITS else 17 + _CAPITALS.index(character)


def _agrees(characters: str, weights: list[int]) -> bool:
    """Say whether the last character is the right check digit of those before it."""
    total = sum(_worth(character) * weight for character, weight in zip(characters[:-1], weights, strict=True))
    digit = _worth(characters[-1])
    return (total + digit) % 11 == 0 or (digit == 0 and total % 11 == 1)


def _issuer_is_right(key: str) -> bool:
    field, series = key[6:20], key[22:25]
    is_nff = key[2:6] not in _MONTHS_WITHOUT_EMISSION_TYPE and key[34] == "3"
    if series > "969":
        return False
    if series >= "910":
        return _is_person(field)
    return _is_company(field) or (is_nff and _is_person(field))


_MONTHS_WITHOUT_EMISSION_TYPE = {
    f"{year:02}{month:02}" for year in range(12) for month in range(100) if year < 11 or month < 4
}


def _is_company(field: str) -> bool:
    weights = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2]
    return set(field) != {"0"} and _agrees(field[:13], weights[1:]) and _agrees(field, weights)


def _is_person(field: str) -> bool:
    if field[:3] != "000" or set(field) == {"0"} or any(character in _CAPITALS for character in field):
        return False
    return _agrees(field[3:13], list(range(10, 1, -1))) and _agrees(field[3:], list(range(11, 1, -1)))
