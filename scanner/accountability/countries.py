"""Countries by their ISO 3166-1 alpha-2 code, and the regions under which requests are counted.

The regions are the continents of the UN's M49 with the Americas in two, and of Europe the Union's members apart.
"""

from __future__ import annotations

from typing import Final

_REGIONS: Final = {
    "European Union": "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK",
    "Rest of Europe": ("AD AL AX BA BY CH FO GB GG GI IM IS JE LI MC MD ME MK NO RS RU SJ SM UA VA XK"),
    "North America": "BM CA GL PM US",
    "Latin America and the Caribbean": (
        "AG AI AR AW BB BL BO BQ BR BS BV BZ CL CO CR CU CW DM DO EC FK GD GF GP GS GT GY HN HT JM KN KY LC MF MQ MS MX"
        " NI PA PE PR PY SR SV SX TC TT UY VC VE VG VI"
    ),
    "Africa": (
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW IO KE KM LR LS LY MA MG ML MR MU MW MZ NA"
        " NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TF TG TN TZ UG YT ZA ZM ZW"
    ),
    "Asia": (
        "AE AF AM AZ BD BH BN BT CN GE HK ID IL IN IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP OM PH PK PS"
        " QA SA SG SY TH TJ TL TM TR TW UZ VN YE"
    ),
    "Oceania": "AS AU CC CK CX FJ FM GU HM KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TO TV UM VU WF WS",
}
REGIONS: Final = tuple(_REGIONS)
_REGION_OF: Final = {code: region for region, codes in _REGIONS.items() for code in codes.split()}


def is_country(code: str) -> bool:
    """Whether a code names a country."""
    return code in _REGION_OF


def region_of(code: str) -> str:
    """The region a country is counted under; the code names one."""
    return _REGION_OF[code]
