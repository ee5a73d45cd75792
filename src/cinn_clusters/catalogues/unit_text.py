r"""Units as people write them: ``10^14 h_70^-1 Msun``, ``10+14Msun``, ``$M_\odot$``, ``MSUN / h``.

In a mass, a length or a time of a cluster no hour can be meant: ``h`` is H0 / (100 km/s/Mpc), and
``h70`` is H0 / (70 km/s/Mpc).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, reduce
from typing import Any

from astropy import units as u

_NOT_H = (u.hour, u.H)
"""What astropy takes an h for."""
_OF_COSMOLOGY = "littleh", "redshift"
"""Names that astropy's cosmology adds to its units."""
_SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺"
_PLAIN = str.maketrans(_SUPERSCRIPTS, "0123456789-+")


def _with_power(superscripts: re.Match[str]) -> str:
    return f"^{superscripts[0].translate(_PLAIN)}"


_Replacement = str | Callable[[re.Match[str]], str]
_SPELLINGS: tuple[tuple[str, _Replacement], ...] = (
    (rf"[{_SUPERSCRIPTS}]+", _with_power),
    ("[\u2212\u2013]", "-"),
    (r"[⊙☉]|\\odot|\\sun", "sun"),
    ("\\\\times|[\u00d7\u00b7\u22c5]", " "),
    (r"\^\{([^{}]*[/.][^{}]*)\}", r"^(\1)"),
    (r"\\(?:mathrm|rm|text|cdot|hspace)|\\[,;! ]|[${}~\\]", " "),
    (r"([_^])\s+", r"\1"),
    (r"\s+([_^])", r"\1"),
    (r"^\s*[x*]\s*(?=10)", ""),
    (r"h\^?([-+]?\d+)_(\d{2,3})", r"h\2^\1"),
    (r"(?<![a-zA-Z])h_?(\d{2,3})\s*(?=[-+]\d)", r"h\1^"),
    (r"(?<![a-zA-Z])h_(\d{2,3})", r"h\1"),
    (
        r"(?<![a-z])(?:m_?(?:sun|solar|sol)|sol(?:ar)?[ _.-]?mass(?:es)?)(?![a-z])",
        "solMass",
    ),
    *(
        (rf"(?<![a-z]){name}(?![a-z])", name)
        for name in ("kpc", "Mpc", "keV", "Gyr", "Myr", "arcmin", "arcsec", "percent")
    ),
)
"""Patterns, whatever their case, and what astropy has for them. No radius is in milliparsec."""
_OWN_H = re.compile(r"(?<![a-zA-Z])h(\d{2,3})")
_FACTOR = re.compile(
    r"(?<=\S)\s+(?:10(?:\^|\*\*|\+)\d+|\d+(?:\.\d*)?e\+?\d+)(?=\s)", re.I
)
"""A power of ten behind a unit, as in ``h70^-1 10^14 Msun``."""
_FRACTION = re.compile(r"\^[-+]?\d+/\d")
"""A power that may be a fraction or divided."""
_LETTERS = str.maketrans("0123456789", "abcdefghij")
"""astropy reads digits behind a name as its power."""


@cache
def _cosmology_units() -> Any:
    """Units of astropy's cosmology, imported where a text names one: it takes a third of a second."""
    from astropy.cosmology import units

    return units


def _further_units(spelled: str) -> list[Any]:
    """Units in a text that astropy does not enable by itself."""
    further: list[Any] = [_named_h(number) for number in set(_OWN_H.findall(spelled))]
    if any(name in spelled for name in _OF_COSMOLOGY):
        further.append(_cosmology_units())
    return further


def _little_h() -> Any:
    return _cosmology_units().littleh


def parse_unit(text: str, expected: Any) -> Any:
    """Read a unit of astropy in any spelling, an h that stands where ``expected`` has none included.

    Raises:
        ValueError: If astropy does not know it.

    Examples:
        >>> print(parse_unit("10^14 Msun / h", u.Msun), parse_unit("h_70^-1 KPC", u.kpc))
        1e+14 solMass / littleh kpc / h70
    """
    spelled = spell_out(text)
    if _FRACTION.search(spelled):
        raise ValueError(f"brackets around the power in '{text}'")
    with u.add_enabled_units(_further_units(spelled)):
        unit = u.Unit(_OWN_H.sub(lambda match: _alias(match[1]), spelled))
    if unit.is_equivalent(expected):
        return unit
    return _with_little_h(unit)


def spell_out(text: str) -> str:
    """Write a unit as astropy does.

    Examples:
        >>> spell_out(r"$10^{14} M_{\\odot}$"), spell_out("h70-1 MPC"), spell_out("10+14Msun")
        ('10^14 solMass', 'h70^-1 Mpc', '10+14solMass')
    """
    for pattern, replacement in _SPELLINGS:
        text = re.sub(pattern, replacement, text, flags=re.IGNORECASE)
    return _with_factor_first(" ".join(text.split()))


def _with_factor_first(text: str) -> str:
    """Put a power of ten before the units, where astropy wants it."""
    factor = _FACTOR.search(text)
    if factor is None:
        return text
    before, after = text[: factor.start()], text[factor.end() :]
    return f"{factor[0].strip()} {before} {after.strip()}"


def without_h(unit: Any) -> Any:
    """Return a unit without any power of h.

    Examples:
        >>> print(without_h(parse_unit("1e14 Msun/h", u.Msun)))
        1.98841e+44 kg
    """
    plain = unit.decompose()
    powers = zip(plain.bases, plain.powers, strict=True)
    factors = [base**power for base, power in powers if base.name != "littleh"]
    return _product(plain.scale, factors)


def _alias(number: str) -> str:
    return f"hubble{number.translate(_LETTERS)}"


def _named_h(number: str) -> Any:
    """The unit h70: H0 over 70 km/s/Mpc."""
    one_hundred = 100.0 / float(number) * _little_h()
    return u.def_unit([f"h{number}", _alias(number)], one_hundred)


def _with_little_h(unit: Any) -> Any:
    """The same unit, with little h for an hour."""
    powers = zip(unit.bases, unit.powers, strict=True)
    factors = [_meant(base) ** power for base, power in powers]
    return _product(unit.scale, factors)


def _meant(base: Any) -> Any:
    if base in _NOT_H:
        return _little_h()
    return base


def _product(scale: float, factors: list[Any]) -> Any:
    unit = u.dimensionless_unscaled
    if scale != 1.0:
        unit = u.CompositeUnit(scale, [], [])
    return reduce(lambda product, factor: product * factor, factors, unit)
